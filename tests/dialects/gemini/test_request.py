"""Requests, read and written."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.gemini import RULES
from cliproxy.dialects.gemini.request import Style, decode_request, encode_body, encode_request, may_pass
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import (
    Document,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Remote,
    Signature,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.rules import TargetRules
from cliproxy.ir.schema import clean_schemas
from cliproxy.ir.signatures import GEMINI_PLACEHOLDER, carry
from support.factories import make_context
from support.grammar_gemini import check_request
from support.ir_strategies import json_values, requests

SIG = base64.b64encode(b"\x12\x04sigs").decode()
OWN = Signature(SIG, Family.GEMINI)
FOREIGN = Signature("ErUBClaude", Family.CLAUDE)
GENERATION = {"temperature": 1, "topP": 0.95, "topK": 64}


def from_elsewhere(**overrides: object) -> ExchangeContext:
    """A client of another dialect, a Gemini model."""
    fields = {
        "client_dialect": "claude",
        "upstream_dialect": "gemini",
        "upstream_model": "gemini-3-pro-preview",
    }
    return make_context(**{**fields, "upstream_family": Family.GEMINI, **overrides})


def at_home(**overrides: object) -> ExchangeContext:
    """A client of this dialect."""
    return from_elsewhere(client_dialect="gemini", **overrides)


def contents(*messages, ctx=None):
    request = IRRequest(model="m", messages=list(messages))
    return encode_request(request, ctx or from_elsewhere())["contents"]


def turn(*parts, ctx=None):
    """Write one model turn and return its parts."""
    [content] = contents(Message("assistant", list(parts)), ctx=ctx)
    assert content["role"] == "model"
    return content["parts"]


# --- reading ---


def test_what_the_command_line_client_sends():
    """Schemas in `parametersJsonSchema`, a system instruction without a role, placeholders."""
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "list"}]},
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {
                            "id": "run_shell_command_1_0",
                            "name": "run_shell_command",
                            "args": {"command": "ls"},
                        },
                        "thoughtSignature": GEMINI_PLACEHOLDER,
                    }
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "run_shell_command_1_0",
                            "name": "run_shell_command",
                            "response": {"output": "a.txt"},
                        }
                    }
                ],
            },
        ],
        "systemInstruction": {"parts": [{"text": "You are a CLI agent."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "run_shell_command",
                        "description": "Run it",
                        "parametersJsonSchema": {
                            "$schema": "http://json-schema.org/draft-07/schema#",
                            "type": "object",
                            "properties": {"command": {"type": "string", "pattern": "."}},
                            "additionalProperties": False,
                        },
                    }
                ]
            }
        ],
        "generationConfig": {
            **GENERATION,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
        },
    }
    request = decode_request(body, at_home())
    assert request.system == [SystemText("You are a CLI agent.")]
    assert request.messages[1].parts == [
        ToolCall(
            "run_shell_command_1_0",
            "run_shell_command",
            '{"command":"ls"}',
            signature=Signature(GEMINI_PLACEHOLDER, Family.GEMINI),
        )
    ]
    [result] = request.messages[2].parts
    assert (result.call_id, result.name, result.parts) == (
        "run_shell_command_1_0",
        "run_shell_command",
        [Text("a.txt")],
    )
    assert request.tools[0].schema["properties"] == {"command": {"type": "string", "pattern": "."}}
    assert request.reasoning == Reasoning(budget=8192, visible=True)
    written = encode_request(request, at_home())
    assert written == {**body, "systemInstruction": {"role": "user", **body["systemInstruction"]}}
    check_request(written)


def test_snake_case_throughout():
    body = {
        "contents": {"role": "user", "parts": {"inline_data": {"mime_type": "image/png", "data": "AA=="}}},
        "system_instruction": "S",
        "tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        "tool_config": {
            "function_calling_config": {"mode": "any"},
            "retrieval_config": {"language_code": "en"},
        },
        "generation_config": {"max_output_tokens": 5},
        "safety_settings": [],
    }
    request = decode_request(body, at_home())
    assert request.messages == [Message("user", [Image(Inline("image/png", "AA=="))])]
    assert request.system == [SystemText("S")]
    assert request.tools == [Tool(ToolKind.FUNCTION, "f", schema={"type": "object"})]
    assert request.tool_choice == ToolChoice("any")
    assert request.sampling.max_tokens == 5
    assert request.extras == {
        "gemini": {"safetySettings": [], "toolConfig": {"retrievalConfig": {"language_code": "en"}}}
    }


@pytest.mark.parametrize(
    ("given_roles", "roles"),
    [
        ([None, None, None], ["user", "assistant", "user"]),
        (["model", "function", "tool"], ["assistant", "user", "user"]),
        (["user", "robot", "user"], ["user", "assistant", "user"]),
        (["user", "user", None], ["user", "user", "assistant"]),
    ],
)
def test_roles(given_roles, roles):
    body = {
        "contents": [{"parts": [{"text": "x"}]} | ({"role": role} if role else {}) for role in given_roles]
    }
    assert [message.role for message in decode_request(body, at_home()).messages] == roles


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"parts": [{"text": "A"}, {"text": " "}, {"text": "B"}]}, ["A", "B"]),
        ({"role": "user", "parts": {"text": "A"}}, ["A"]),
        ("A", ["A"]),
        ([{"text": "A"}, "B"], ["A", "B"]),
        ({"parts": []}, []),
        ({}, []),
        (None, []),
    ],
)
def test_system_instructions(raw, said):
    request = decode_request({"contents": [], "systemInstruction": raw}, at_home())
    assert [text.text for text in request.system] == said


@pytest.mark.parametrize("in_one_content", [False, True])
def test_a_history_of_chunks(in_one_content):
    """The vendor's Python client sends every chunk of a streamed answer back, as a content or as a part."""
    carried = carry(FOREIGN, Family.GEMINI)
    chunks = [
        {"text": "h", "thought": True},
        {"text": "m", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": carried},
        {"text": "He"},
        {"text": "llo"},
        {"text": "", "thoughtSignature": SIG},
        {"text": "!"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}},
        {"text": ""},
    ]
    turns = [chunks] if in_one_content else [[chunk] for chunk in chunks]
    body = {
        "contents": [{"role": "model", "parts": parts} for parts in turns]
        + [{"role": "user", "parts": ["go"]}]
    }
    turn, user = decode_request(body, at_home()).messages
    assert turn.parts == [
        Thinking("hm", FOREIGN),
        Text("Hello", signature=OWN),
        Text("!"),
        ToolCall("c", "f", "{}"),
        Text(""),
    ]
    assert user.parts == [Text("go")]


def test_bare_contents():
    assert decode_request({"contents": "hi"}, at_home()).messages == [Message("user", [Text("hi")])]
    assert decode_request({"contents": ["hi"]}, at_home()).messages == [Message("user", [Text("hi")])]


def test_a_token_count_may_hold_a_whole_request():
    inner = {"model": "models/m", "contents": [{"parts": [{"text": "x"}]}], "systemInstruction": "S"}
    request = decode_request({"generateContentRequest": inner}, at_home(requested_model=""))
    assert request.system == [SystemText("S")]
    assert request.model == "m"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": 3}, "contents"),
        ({"contents": [3]}, "contents[0]"),
        ({"contents": [{"role": 3}]}, "contents[0].role"),
        ({"contents": [{"parts": 3}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{"text": "a"}, 3]}]}, "contents[0].parts[1]"),
        ({"contents": [], "systemInstruction": 3}, "systemInstruction"),
        ({"contents": [], "systemInstruction": {"parts": 3}}, "systemInstruction.parts"),
        ({"contents": [], "generationConfig": []}, "generationConfig"),
        ({"contents": [], "generationConfig": {"topK": "x"}}, "generationConfig.topK"),
        ({"contents": [], "tools": 3}, "tools"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(body, param):
    with pytest.raises(DialectError) as caught:
        decode_request(body, at_home())
    assert caught.value.param == param
    assert caught.value.message


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                "contents",
                "systemInstruction",
                "system_instruction",
                "tools",
                "toolConfig",
                "generationConfig",
                "labels",
            ],
            json_values,
        ),
    )
)
def test_reading_is_total(body):
    try:
        request = decode_request(body, at_home())
    except DialectError:
        return
    encode_request(request, at_home())


# --- round trips ---

ROUND_TRIPS = {
    "a conversation": {
        "contents": [
            {"role": "user", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"text": "b", "thoughtSignature": SIG}]},
            {
                "role": "user",
                "parts": [{"text": "c"}, {"fileData": {"fileUri": "https://x/y", "mimeType": "video/mp4"}}],
            },
        ]
    },
    "signatures stay with their parts": {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {"text": "hm, so", "thought": True, "thoughtSignature": SIG},
                    {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": SIG},
                    {"functionCall": {"name": "g", "args": {}}},
                    {"text": "", "thoughtSignature": SIG},
                ],
            }
        ]
    },
    "executed code": {
        "contents": [
            {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {}}]}
        ]
    },
    "what only this dialect has": {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/x",
        "labels": {"a": "b"},
        "tools": [{"googleSearch": {}}, {"urlContext": {}}],
        "toolConfig": {"retrievalConfig": {"languageCode": "en"}},
        "generationConfig": {**GENERATION, "speechConfig": {}},
    },
}


@pytest.mark.parametrize("case", ROUND_TRIPS)
def test_within_the_dialect_nothing_changes(case):
    body = ROUND_TRIPS[case]
    assert encode_request(decode_request(body, at_home()), at_home()) == body


@pytest.mark.parametrize(
    ("contents", "passes", "passes_to_older"),
    [
        (
            [
                {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": SIG}]},
                {"role": "model", "parts": [{"functionCall": {"name": "g"}}]},
            ],
            True,
            True,
        ),
        (
            [
                {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": SIG}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f"}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "g"}}]},
            ],
            False,
            True,
        ),
        ([{"role": "user", "parts": [{"text": "a"}]}], True, True),
        ([{"parts": [{"text": "a"}]}], False, False),
        ([{"role": "robot", "parts": []}], False, False),
        (["a"], False, False),
        ("a", True, True),
        ([{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}], False, True),
        (
            [{"role": "model", "parts": [{"function_call": {"name": "f"}, "thought_signature": SIG}]}],
            True,
            True,
        ),
        (
            [
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": GEMINI_PLACEHOLDER}],
                }
            ],
            True,
            True,
        ),
        (
            [{"role": "model", "parts": [{"text": "a", "thoughtSignature": carry(FOREIGN, Family.GEMINI)}]}],
            False,
            False,
        ),
        ([{"role": "user", "parts": [{"functionResponse": {"name": "", "response": {}}}]}], False, False),
        ([{"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}], True, True),
        ([{"role": "model", "parts": [{"inlineData": {"data": "AA=="}}]}], False, True),
        ([{"role": "user", "parts": [{"inlineData": {"data": "AA=="}}]}], True, True),
        (
            [{"role": "model", "parts": [{"inlineData": {"data": "AA=="}, "thoughtSignature": SIG}]}],
            True,
            True,
        ),
    ],
)
def test_what_may_pass_as_it_is(contents, passes, passes_to_older):
    for body in ({"contents": contents}, {"generateContentRequest": {"contents": contents}}):
        assert may_pass(body, "gemini-3-pro-preview") is passes
        assert may_pass(body, "gemini-2.5-pro") is passes_to_older


# --- writing ---


def test_system_and_user():
    request = IRRequest(
        model="m", messages=[Message("user", [Text("u")])], system=[SystemText("S"), SystemText("T")]
    )
    written = encode_request(request, from_elsewhere())
    assert written["systemInstruction"] == {"role": "user", "parts": [{"text": "S"}, {"text": "T"}]}
    assert written["contents"] == [{"role": "user", "parts": [{"text": "u"}]}]


def test_only_a_system_message_becomes_the_users():
    request = IRRequest(model="m", messages=[], system=[SystemText("S")])
    written = encode_request(normalise(request, RULES, from_elsewhere()), from_elsewhere())
    assert written["contents"] == [{"role": "user", "parts": [{"text": "S"}]}]
    assert "systemInstruction" not in written


def test_answers_of_parallel_calls_stand_together_in_the_order_of_the_calls():
    request = IRRequest(
        model="m",
        messages=[
            Message("assistant", [ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}")]),
            Message("user", [ToolResult("c2", [Text("R2")])]),
            Message("user", [ToolResult("c1", [Text("R1")])]),
        ],
    )
    ctx = from_elsewhere()
    model, user = encode_request(normalise(request, RULES, ctx), ctx)["contents"][-2:]
    assert model["parts"] == [
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": GEMINI_PLACEHOLDER},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]
    assert user["parts"] == [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "R1"}}},
        {"functionResponse": {"id": "c2", "name": "g", "response": {"result": "R2"}}},
    ]


def test_the_name_of_a_result_comes_from_its_call():
    call = Message("assistant", [ToolCall("get-w-7", "get", "{}")])
    results = Message("user", [ToolResult("get-w-7"), ToolResult("zz"), ToolResult("")])
    _, user = contents(call, results)
    assert [part["functionResponse"]["name"] for part in user["parts"]] == ["get", "zz", "unknown"]


def test_images_of_a_result_stand_beside_it():
    image = Image(Inline("image/png", "AA=="))
    result = Message("user", [Text("go"), ToolResult("a", [Text("see"), image], name="f")])
    [content] = contents(result)
    written = {"functionResponse": {"id": "a", "name": "f", "response": {"result": "see"}}}
    inline = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    assert content["parts"] == [written, inline, {"text": "go"}]
    nested = encode_body(
        IRRequest(model="m", messages=[result]), from_elsewhere(), Style(media_inside_results=True)
    )
    assert nested["contents"][0]["parts"] == [
        {"functionResponse": {**written["functionResponse"], "parts": [inline]}},
        {"text": "go"},
    ]


@pytest.mark.parametrize(
    ("signatures", "written"),
    [
        ([OWN, None], [SIG, None]),
        ([None, None], [GEMINI_PLACEHOLDER, None]),
        ([FOREIGN, OWN], [GEMINI_PLACEHOLDER, SIG]),
        ([FOREIGN, FOREIGN], [GEMINI_PLACEHOLDER, None]),
    ],
)
def test_the_first_call_of_a_turn_is_signed(signatures, written):
    calls = [ToolCall(f"c{n}", "f", "{}", signature=signature) for n, signature in enumerate(signatures)]
    parts = turn(Text("t"), *calls)
    assert [part.get("thoughtSignature") for part in parts[1:]] == written


def test_every_turn_has_a_first_call():
    calls = [
        Message("assistant", [ToolCall("a", "f", "{}")]),
        Message("assistant", [ToolCall("b", "f", "{}")]),
    ]
    signed = [content["parts"][0].get("thoughtSignature") for content in contents(*calls)]
    assert signed == [GEMINI_PLACEHOLDER, GEMINI_PLACEHOLDER]


def test_a_claude_model_behind_this_dialect_gets_its_own_signatures_and_no_placeholder():
    ctx = from_elsewhere(upstream_family=Family.CLAUDE)
    parts = turn(Thinking("hm", FOREIGN), Thinking("ha", OWN), ToolCall("a", "f", "{}"), ctx=ctx)
    assert parts == [
        {"text": "hm", "thought": True, "thoughtSignature": FOREIGN.value},
        {"functionCall": {"id": "a", "name": "f", "args": {}}},
    ]


def test_thoughts_return_only_if_they_can_be_verified():
    ctx = from_elsewhere()
    parts = turn(
        Thinking("own", OWN),
        Thinking("foreign", FOREIGN),
        Thinking("unsigned"),
        Thinking(redacted=OWN),
        Thinking(redacted=FOREIGN),
        Text("t", signature=FOREIGN),
        ctx=ctx,
    )
    assert parts == [
        {"text": "own", "thought": True, "thoughtSignature": SIG},
        {"text": "", "thoughtSignature": SIG},
        {"text": "t"},
    ]
    assert ctx.notes == ["reasoning that the model cannot verify is not carried"]


def test_a_history_made_with_another_model_is_cleaned_on_the_way_back():
    """The client got Claude's signature in a slot of this dialect and changed to a Gemini model."""
    carried = carry(FOREIGN, Family.GEMINI)
    body = {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": carried},
                    {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": carried},
                ],
            }
        ]
    }
    written = encode_request(decode_request(body, at_home()), at_home())
    assert written["contents"][0]["parts"] == [
        {"text": "hm", "thought": True},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": GEMINI_PLACEHOLDER},
    ]


def test_a_signature_on_a_function_response_is_dropped():
    part = {"functionResponse": {"name": "f", "response": {}}, "thoughtSignature": SIG}
    request = decode_request({"contents": [{"role": "user", "parts": [part]}]}, at_home())
    [content] = encode_request(request, at_home())["contents"]
    assert content["parts"] == [{"functionResponse": {"name": "f", "response": {}}}]


@pytest.mark.parametrize(
    ("model", "client", "has_id"),
    [
        ("gemini-3-pro-preview", "claude", True),
        ("gemini-2.5-pro", "claude", False),
        ("models/gemini-1.5-flash", "claude", False),
        ("gemini-2.5-pro", "gemini", True),
        ("some-alias", "claude", True),
    ],
)
def test_older_models_pair_without_ids(model, client, has_id):
    ctx = from_elsewhere(upstream_model=model, client_dialect=client)
    [part] = turn(ToolCall("a", "f", "{}"), ctx=ctx)
    assert ("id" in part["functionCall"]) is has_id
    [content] = contents(Message("user", [ToolResult("a", name="f")]), ctx=ctx)
    assert ("id" in content["parts"][0]["functionResponse"]) is has_id


def test_what_the_upstream_cannot_have_is_noted():
    ctx = from_elsewhere()
    message = Message(
        "user",
        [
            Image(Remote("https://example.com/a.png")),
            Document(Remote("https://example.com/a.pdf")),
            Opaque("claude", "server_tool_use", {"type": "server_tool_use"}),
            Text(""),
        ],
    )
    assert contents(message, Message("assistant", [Refusal("no")]), ctx=ctx) == [
        {"role": "model", "parts": [{"text": "no"}]}
    ]
    assert ctx.notes == [
        "media at an address that the upstream does not fetch from is not carried",
        "a part of kind server_tool_use (claude) is not carried",
    ]


def test_facts_about_the_request_without_a_place_are_noted():
    ctx = from_elsewhere()
    request = IRRequest(model="m", messages=[], parallel_tool_calls=False)
    request.meta.user = "u"
    encode_request(request, ctx)
    assert ctx.notes == ["parallel_tool_calls is not carried", "user is not carried"]


def test_parts_on_the_wrong_side_are_still_written():
    [content] = contents(Message("assistant", [ToolResult("a", [Text("x")], name="f")]))
    assert "functionResponse" in content["parts"][0]
    [content] = contents(Message("user", [ToolCall("a", "f", "{}")]))
    assert "functionCall" in content["parts"][0]


def test_a_signed_image_of_the_model():
    image = Image(Inline("image/png", "AA=="), signature=OWN)
    assert turn(image) == [{"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": SIG}]


def test_safety_settings_are_added_for_those_who_cannot_say_anything_about_them():
    request = IRRequest(model="m", messages=[])
    settings = encode_request(request, from_elsewhere())["safetySettings"]
    assert len(settings) == 5
    assert {setting["threshold"] for setting in settings} == {"OFF", "BLOCK_NONE"}
    assert "safetySettings" not in encode_request(request, at_home())
    assert "safetySettings" not in encode_body(request, from_elsewhere(), Style(writes_safety=False))


def test_tools_and_choice():
    tool = Tool(ToolKind.FUNCTION, "f", schema={"type": "object", "properties": {}})
    request = IRRequest(model="m", messages=[], tools=[tool], tool_choice=ToolChoice("any"))
    written = encode_request(request, from_elsewhere())
    assert written["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert written["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == tool.schema
    old = encode_body(request, from_elsewhere(), Style(schema_key="parameters"))
    assert "parameters" in old["tools"][0]["functionDeclarations"][0]
    assert "toolConfig" not in encode_request(
        IRRequest(model="m", messages=[], tool_choice=ToolChoice("any")), from_elsewhere()
    )


@given(requests(), st.sampled_from(["gemini-3-pro", "gemini-2.5-pro"]))
def test_whatever_is_normalised_is_written_by_the_grammar(request, model):
    ctx = from_elsewhere(upstream_model=model)
    request = clean_schemas(normalise(request, RULES, ctx), RULES.schemas, ctx)
    check_request(encode_request(request, ctx))


@given(requests())
def test_even_what_was_not_normalised_is_written(request):
    """And read and written again: the first time puts the pieces of texts together, after that nothing."""
    body = encode_request(request, from_elsewhere())
    once = encode_request(decode_request(body, at_home()), at_home())
    assert said_in(once) == said_in(body)
    assert encode_request(decode_request(once, at_home()), at_home())["contents"] == once["contents"]


def said_in(body):
    """The visible text and the other parts of a body's contents, text by role in one piece."""
    parts = [(content["role"], part) for content in body["contents"] for part in content["parts"]]
    texts = {role: "".join(part.get("text", "") for r, part in parts if r == role) for role, _ in parts}
    return texts, [part for _, part in parts if "text" not in part]


PICTURE = Inline("image/png", "iVBORw0KGgo=")


@pytest.mark.parametrize(
    ("image", "ctx", "signature"),
    [
        (Image(PICTURE), from_elsewhere(), GEMINI_PLACEHOLDER),
        (Image(PICTURE, signature=OWN), from_elsewhere(), SIG),
        (Image(PICTURE, signature=FOREIGN), from_elsewhere(), GEMINI_PLACEHOLDER),
        (Image(PICTURE), from_elsewhere(upstream_model="gemini-2.5-flash-image"), None),
        (Image(PICTURE), from_elsewhere(upstream_family=Family.CLAUDE), None),
    ],
    ids=["unsigned", "own", "foreign", "older model", "other family"],
)
def test_an_image_that_the_model_made_is_signed(image, ctx, signature):
    [part] = turn(image, ctx=ctx)
    assert part.get("thoughtSignature") == signature
    assert part["inlineData"] == {"mimeType": "image/png", "data": PICTURE.data}


def test_an_image_of_the_user_is_not_signed():
    [content] = contents(Message("user", [Image(PICTURE)]))
    assert content["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PICTURE.data}}]


def test_cached_content_is_for_this_api_alone():
    """It stands for a part of the conversation, so it must not be left out in silence."""
    request = decode_request({"contents": "hi", "cached_content": "cachedContents/1"}, at_home())
    assert encode_request(normalise(request, RULES, at_home()), at_home())["cachedContent"]
    with pytest.raises(DialectError) as caught:
        normalise(request, TargetRules(speaks=frozenset({"claude"})), from_elsewhere())
    assert caught.value.param == "cachedContent"
