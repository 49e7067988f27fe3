"""The Code Assist envelope: what is inside is Gemini's, so only the envelope and its limits are looked at."""

import pytest

from cliproxy.dialects import DIALECTS, by_id
from cliproxy.dialects.base import Action, Framing, PathFacts
from cliproxy.dialects.gemini_cli import DIALECT, load_code_assist, onboard_user
from cliproxy.errors import BadRequest, DialectError, NativeBody, NotFound, ProxyError
from cliproxy.ir.events import BlockKind, BlockStart, BlockStop, End, Finish, Start, TextDelta
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family, Reasoning, Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.ir.schema import clean_schemas
from cliproxy.wire.jsontext import Document, dumps, loads_object
from support import grammar_gemini
from support.factories import make_context
from support.frames import decode, encode, json_frames

CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
SIGNATURE = "c2lnbmF0dXJl"


def context(client="gemini-cli", **more):
    return make_context(
        client_dialect=client,
        upstream_dialect="gemini-cli",
        upstream_family=Family.GEMINI,
        upstream_model="gemini-2.5-pro",
        **more,
    )


def envelope(**members):
    """Return a request as the CLI writes it."""
    inner = {"contents": CONTENTS, "session_id": "s-1", **members}
    return {"model": "gemini-2.5-pro", "project": "theirs", "user_prompt_id": "p-1", "request": inner}


def sent(client, body):
    """Carry a client's request through the passes, as the exchange does."""
    ctx = context(client)
    request = by_id(client).decode_request(body, ctx)
    request = normalise(request, DIALECT.rules, ctx)
    request = clean_schemas(request, DIALECT.rules.schemas, ctx)
    return loads_object(dumps(DIALECT.encode_request(request, ctx)))


def test_the_record():
    assert DIALECT in DIALECTS
    assert DIALECT.id == "gemini-cli"
    assert DIALECT.models is None


# --- requests ---


def test_a_request_is_taken_out_of_its_envelope():
    body = envelope(
        systemInstruction={"parts": [{"text": "S"}]},
        generationConfig={"temperature": 1, "thinkingConfig": {"includeThoughts": True}},
    )
    request = DIALECT.decode_request(body, make_context(requested_model=""))
    assert request.model == "gemini-2.5-pro"
    assert [part for message in request.messages for part in message.parts] == [Text("hi")]
    assert [said.text for said in request.system] == ["S"]
    assert request.sampling.temperature == 1
    assert request.reasoning == Reasoning(visible=True)


def test_the_clients_name_of_the_model_wins_over_the_envelopes():
    """It may be an alias, and the thinking suffix is off by then."""
    request = DIALECT.decode_request(envelope(), make_context(requested_model="alias"))
    assert request.model == "alias"


def test_an_envelope_goes_on_with_all_but_the_project():
    """The project is the account's, so the provider puts it in."""
    body = sent("gemini-cli", envelope())
    assert body["user_prompt_id"] == "p-1"
    assert body["request"] == {"contents": CONTENTS, "session_id": "s-1"}
    assert "project" not in body


@pytest.mark.parametrize("upstream", ["gemini", "openai", "claude", "openai-response"])
def test_nothing_of_the_envelope_reaches_another_dialect(upstream):
    ctx = make_context(client_dialect="gemini-cli", upstream_dialect=upstream)
    request = DIALECT.decode_request(envelope(), ctx)
    text = dumps(by_id(upstream).encode_request(request, ctx))
    assert b"session_id" not in text
    assert b"theirs" not in text
    assert b"p-1" not in text


def test_a_bare_gemini_request_gets_an_envelope():
    tools = [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    body = sent("gemini", {"contents": CONTENTS, "tools": tools, "safetySettings": safety})
    assert set(body) == {"model", "request"}
    assert body["request"]["safetySettings"] == safety
    declared = {"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}}
    assert body["request"]["tools"] == [{"functionDeclarations": [declared]}]
    grammar_gemini.check_request(body["request"])


def test_other_clients_get_the_defaults_of_gemini():
    body = sent("openai", {"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    assert len(body["request"]["safetySettings"]) == 5
    assert body["request"]["contents"] == CONTENTS


def test_schemas_are_reduced_to_what_code_assist_takes():
    parameters = {"type": "object", "properties": {"k": {"const": "v", "minLength": 1}}}
    function = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    body = sent("openai", {"messages": [{"role": "user", "content": "hi"}], "tools": [function]})
    schema = body["request"]["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert schema["properties"]["k"] == {
        "enum": ["v"],
        "type": "string",
        "description": "minLength: 1",
    }


def test_results_that_came_apart_are_put_together():
    """Spread over several contents and in another order: one content, in the order of the calls."""
    calls = [{"functionCall": {"name": name, "args": {}}} for name in ("f", "g")]
    results = [
        {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"result": name}}}]}
        for name in ("g", "f")
    ]
    body = sent("gemini-cli", envelope(contents=[*CONTENTS, {"role": "model", "parts": calls}, *results]))
    last = body["request"]["contents"][-1]
    answers = [part["functionResponse"]["response"] for part in last["parts"]]
    assert answers == [{"result": "f"}, {"result": "g"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "request"),
        ({"model": "m", "request": []}, "request"),
        ({"model": "m", "request": {}}, "request.contents"),
        ({"model": "m", "request": {"contents": 3}}, "request.contents"),
    ],
)
def test_a_broken_envelope_is_refused_by_name(body, param):
    with pytest.raises(DialectError) as caught:
        DIALECT.decode_request(body, make_context())
    assert caught.value.param == param


# --- passing through ---


def test_an_envelope_may_pass_if_its_request_may():
    assert DIALECT.may_pass(envelope(), "gemini-2.5-pro")
    assert not DIALECT.may_pass(envelope(contents=[{"parts": [{"text": "no role"}]}]), "gemini-2.5-pro")


def test_a_count_may_not_pass():
    assert not DIALECT.may_pass(
        {"request": {"model": "models/alias", "contents": CONTENTS}}, "gemini-2.5-pro"
    )


def test_the_model_and_the_thinking_of_a_passed_body_are_replaced_in_place():
    assert DIALECT.patch_model("m") == {"model": "m"}
    config = {"temperature": 1, "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": True}}
    body = envelope(generationConfig=config)
    assert DIALECT.read_reasoning(body) == Reasoning(budget=8192, visible=True)
    patched = loads_object(
        Document.parse(dumps(body)).patch(DIALECT.patch_reasoning(Reasoning(level="low"), body))
    )
    assert patched["request"]["contents"] == CONTENTS
    assert patched["request"]["session_id"] == "s-1"
    assert patched["request"]["generationConfig"] == {
        "temperature": 1,
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
    }


# --- answers ---


def test_a_whole_answer_has_an_envelope_and_no_trace():
    response = IRResponse(
        id="r",
        model="gemini-2.5-pro",
        choices=[Choice([Text("Hi")], Ending(FinishReason.STOP))],
        usage=Usage(fresh_input=1, output=2),
    )
    body = loads_object(dumps(DIALECT.encode_response(response, context())))
    assert set(body) == {"response"}
    grammar_gemini.check_answer(body["response"])
    assert DIALECT.decode_response(body, context()).choices[0].parts == [Text("Hi")]


def test_every_chunk_of_a_stream_has_an_envelope():
    events = [
        Start("r", "gemini-2.5-pro"),
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "Hi"),
        BlockStop(0),
        Finish(Ending(FinishReason.STOP)),
        End(),
    ]
    frames = encode(DIALECT.stream_encoder(context()), events)
    chunks = [loads_object(frame.data) for frame in frames]
    assert len(chunks) == 2
    assert all(set(chunk) == {"response"} for chunk in chunks)
    # The CLI looks for exactly this beginning, space included.
    assert all(frame.raw.startswith(b'data: {"response":{') for frame in frames)
    grammar_gemini.check_stream([dumps(chunk["response"]) for chunk in chunks])


def test_a_stream_of_the_service_is_read():
    chunks = [
        {
            "response": {
                "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}],
                "responseId": "r",
            },
            "traceId": "t",
        },
        {
            "response": {
                "candidates": [{"finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2},
            }
        },
    ]
    events = decode(DIALECT.stream_decoder(context("openai")), json_frames(chunks))
    assert TextDelta(0, "Hi") in events
    assert Finish(Ending(FinishReason.STOP, native="STOP")) in events
    assert events[-1] == End(clean=True)
    glimpses = [DIALECT.inspect(frame) for frame in json_frames(chunks)]
    assert [glimpse.has_content for glimpse in glimpses] == [True, False]
    assert [glimpse.is_finished for glimpse in glimpses] == [False, True]
    assert glimpses[1].usage == Usage(fresh_input=1, output=2)


def test_an_error_in_the_middle_of_a_stream_is_bare():
    encoder = DIALECT.stream_encoder(context())
    (frame,) = encoder.error(ProxyError("broken", status=502))
    grammar_gemini.check_error(loads_object(frame.data))
    assert encoder.finish() == []


@pytest.mark.parametrize("source", ["gemini", "gemini-cli", "antigravity"])
def test_an_error_of_a_relative_keeps_its_body(source):
    native = {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{"a": 1}]}}
    error = ProxyError("m", status=429, native=NativeBody(source, dumps(native)))
    assert DIALECT.encode_error(error) == native


def test_token_counts_have_no_envelope():
    assert DIALECT.encode_count(7)["totalTokens"] == 7
    assert DIALECT.decode_count({"totalTokens": 7}) == 7


# --- routes ---


def read(action, body, **query):
    (endpoint,) = DIALECT.endpoints
    return endpoint.read(Document.parse(dumps(body)), PathFacts(args={"action": action}, query=query))


@pytest.mark.parametrize(
    ("action", "query", "wanted", "stream", "framing"),
    [
        ("generateContent", {}, Action.GENERATE, False, Framing.SSE),
        ("streamGenerateContent", {"alt": "sse"}, Action.GENERATE, True, Framing.SSE),
        ("streamGenerateContent", {}, Action.GENERATE, True, Framing.JSON_ARRAY),
        ("countTokens", {}, Action.COUNT, False, Framing.SSE),
    ],
)
def test_the_action_stands_in_the_path(action, query, wanted, stream, framing):
    request = read(action, envelope(), **query)
    assert (request.action, request.stream, request.framing) == (wanted, stream, framing)
    assert request.model == "gemini-2.5-pro"
    assert request.dialect == "gemini-cli"


def test_a_count_names_its_model_inside():
    body = {"request": {"model": "models/gemini-2.5-pro", "contents": CONTENTS}}
    assert read("countTokens", body).model == "gemini-2.5-pro"
    assert DIALECT.decode_request(body, make_context(requested_model="")).model == "gemini-2.5-pro"


def test_what_is_not_served_is_not_found():
    with pytest.raises(NotFound):
        read("loadCodeAssist", {"metadata": {}})
    with pytest.raises(BadRequest) as caught:
        read("generateContent", {"request": {"contents": CONTENTS}})
    assert caught.value.param == "model"


# --- between the relatives ---


def through(*chunks):
    """Carry a stream of the service to a client of the bare API; return the chunks it gets."""
    ctx = context("gemini")
    events = decode(DIALECT.stream_decoder(ctx), json_frames([{"response": chunk} for chunk in chunks]))
    return [loads_object(frame.data) for frame in encode(by_id("gemini").stream_encoder(ctx), events)]


def test_what_nobody_models_survives_a_change_of_envelope():
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
    details = [{"modality": "TEXT", "tokenCount": 1}]

    def piece(said, token, **members):
        candidate = {
            "content": {"role": "model", "parts": [{"text": said}]},
            "safetyRatings": ratings,
            "logprobsResult": {"chosenCandidates": [token]},
            **members,
        }
        counts = {"promptTokenCount": 1, "candidatesTokenCount": 2, "promptTokensDetails": details}
        return {"candidates": [candidate], "usageMetadata": counts, "modelStatus": {"modelStage": "STABLE"}}

    first, second, last = through(
        piece("a", {"token": "a"}),
        piece("b", {"token": "b"}, finishReason="STOP", finishMessage="m", avgLogprobs=-1.5),
    )
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in (first, second)] == [
        [{"text": "a"}],
        [{"text": "b"}],
    ]
    assert last["candidates"] == [
        {
            "content": {"parts": [{"text": ""}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": ratings,
            "logprobsResult": {"chosenCandidates": [{"token": "a"}, {"token": "b"}]},
            "finishMessage": "m",
            "avgLogprobs": -1.5,
        }
    ]
    assert last["usageMetadata"]["promptTokensDetails"] == details
    assert last["modelStatus"] == {"modelStage": "STABLE"}


def test_the_reason_why_a_prompt_was_refused_survives():
    feedback = {"blockReason": "SAFETY", "safetyRatings": []}
    (only,) = through({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}})
    assert only["promptFeedback"] == feedback
    assert "candidates" not in only


def test_metadata_without_a_text_survives():
    call = {"functionCall": {"name": "f", "args": {}}}
    candidate = {
        "content": {"role": "model", "parts": [call]},
        "finishReason": "STOP",
        "groundingMetadata": {"webSearchQueries": ["q"]},
    }
    last = through({"candidates": [candidate]})[-1]
    assert last["candidates"][0]["groundingMetadata"] == {"webSearchQueries": ["q"]}


@pytest.mark.parametrize("client", ["openai", "claude", "openai-response"])
def test_other_clients_do_not_hear_of_it(client):
    candidate = {
        "content": {"role": "model", "parts": [{"text": "a"}]},
        "finishReason": "STOP",
        "safetyRatings": [{"category": "HARM"}],
    }
    ctx = context(client)
    events = decode(DIALECT.stream_decoder(ctx), json_frames([{"response": {"candidates": [candidate]}}]))
    text = b"".join(frame.raw for frame in encode(by_id(client).stream_encoder(ctx), events))
    assert b"HARM" not in text


# --- what the CLI asks besides ---


def test_a_user_was_set_up_with_the_project_he_names():
    loaded = load_code_assist({"cloudaicompanionProject": "mine", "metadata": {}})
    assert loaded["cloudaicompanionProject"] == "mine"
    assert loaded["currentTier"] == {
        "id": "standard-tier",
        "name": "cliproxy",
        "hasOnboardedPreviously": True,
    }
    [tier] = loaded["allowedTiers"]
    assert tier["isDefault"] is True


def test_a_user_without_a_project_gets_a_name_for_one():
    assert load_code_assist({})["cloudaicompanionProject"] == "cliproxy"
    named = {"id": "cliproxy", "name": "cliproxy"}
    assert onboard_user({}) == {"done": True, "response": {"cloudaicompanionProject": named}}


def test_everything_of_the_cli_is_served_to_this_machine_only():
    assert all(endpoint.is_local for endpoint in DIALECT.endpoints)
    assert all(call.is_local for call in DIALECT.side_calls)
    assert len({(call.method, call.path) for call in DIALECT.side_calls}) == 8
