"""A Responses upstream before clients of other dialects, and what of its own it cannot be asked through them.

The upstream is the Codex form of the wire; its streams are those of the public API.
"""

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.codex import DIALECT
from cliproxy.errors import DialectError
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.sse import make_frame
from support import grammar_claude, grammar_gemini
from support.factories import make_context
from support.frames import decode, encode
from support.grammar_openai import check_chat_stream

USAGE = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}


def frame(kind, **members):
    name = f"response.{kind}"
    return make_frame(dumps({"type": name, **members}), name.encode())


CREATED = frame("created", response={"id": "resp_1", "model": "gpt", "created_at": 7})


def completed(*output, kind="completed", **members):
    response = {"id": "resp_1", "status": kind, "output": [*output], "usage": USAGE, **members}
    return frame(kind, response=response)


def added(item, index=0):
    return frame("output_item.added", output_index=index, item=item)


def done(item, index=0):
    return frame("output_item.done", output_index=index, item=item)


def call(number, arguments=""):
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": f"f{number}",
        "arguments": arguments,
    }


def arguments(number, delta):
    return frame(
        "function_call_arguments.delta", item_id=f"fc_{number}", output_index=number - 1, delta=delta
    )


def text(delta, index=0):
    return frame("output_text.delta", output_index=index, item_id="msg_1", content_index=0, delta=delta)


def told(client, *frames):
    """Tell the stream to a client; return the data of its frames."""
    ctx = make_context(client_dialect=client, upstream_dialect="codex", upstream_family=Family.GPT)
    made = encode(by_id(client).stream_encoder(ctx), decode(DIALECT.stream_decoder(ctx), [CREATED, *frames]))
    match client:
        case "claude":
            grammar_claude.check_stream(made)
        case "gemini":
            grammar_gemini.check_stream([each.data for each in made])
        case _:
            check_chat_stream(made)
    return [loads_object(each.data) for each in made if each.data != b"[DONE]"]


def claude_blocks(events):
    """Return (block, joined deltas) of each block of a Claude stream."""
    blocks = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = [event["content_block"], ""]
        elif event["type"] == "content_block_delta":
            blocks[event["index"]][1] += event["delta"].get("partial_json", event["delta"].get("text", ""))
    return [tuple(block) for _, block in sorted(blocks.items())]


def gemini_parts(chunks):
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    return [part for part in parts if part != {"text": ""}]


# --- calls ------------------------------------------------------------------------------------------------

INTERLEAVED = [
    added(call(1), 0),
    arguments(1, '{"a"'),
    added(call(2), 1),
    arguments(2, '{"b"'),
    arguments(1, ":1}"),
    text("meanwhile", 2),
    arguments(2, ":2}"),
    done(call(2, '{"b":2}'), 1),
    done(call(1, '{"a":1}'), 0),
    completed(),
]


def test_interleaved_calls_are_one_after_the_other_for_claude():
    """Blocks cannot overlap there: what comes for another block waits until the open one ends."""
    events = told("claude", *INTERLEAVED)
    assert [(block.get("name"), said) for block, said in claude_blocks(events)] == [
        ("f1", '{"a":1}'),
        ("f2", '{"b":2}'),
        (None, "meanwhile"),
    ]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_calls_that_only_the_last_event_tells_are_whole_for_claude():
    events = told("claude", done(call(1, '{"a":1}'), 0), completed(call(1, '{"a":1}'), call(2, '{"b":2}')))
    assert [(block["id"], said) for block, said in claude_blocks(events)] == [
        ("call_1", '{"a":1}'),
        ("call_2", '{"b":2}'),
    ]


def test_calls_are_told_whole_and_once_to_gemini():
    chunks = told("gemini", *INTERLEAVED)
    calls = [part["functionCall"] for part in gemini_parts(chunks) if "functionCall" in part]
    assert [(each["name"], each["args"]) for each in calls] == [("f2", {"b": 2}), ("f1", {"a": 1})]
    assert [chunk for chunk in chunks if "finishReason" in chunk["candidates"][0]] == chunks[-1:]
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 8


@pytest.mark.parametrize(
    "frames",
    [
        [added(call(1)), arguments(1, '{"a"'), arguments(1, ":1}"), done(call(1, '{"a":1}')), completed()],
        [added(call(1)), arguments(1, '{"a"'), done(call(1, '{"a":1}')), completed()],
        [done(call(1, '{"a":1}')), completed(call(1, '{"a":1}'))],
        [completed(call(1, '{"a":1}'))],
    ],
    ids=["all", "a part", "the item", "the last event"],
)
@pytest.mark.parametrize("client", ["claude", "openai"])
def test_arguments_are_told_once_however_often_they_come(client, frames):
    events = told(client, *frames)
    if client == "claude":
        assert [said for _, said in claude_blocks(events)] == ['{"a":1}']
        return
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    fragments = [each["function"]["arguments"] for delta in deltas for each in delta.get("tool_calls", [])]
    assert "".join(fragments) == '{"a":1}'


# --- what the upstream does itself ------------------------------------------------------------------------


def test_web_search_and_what_it_found_are_blocks_for_claude():
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://x"}]},
    }
    opened = {**search, "status": "in_progress", "action": {}}
    events = told("claude", added(opened), done(search), text("a", 1), completed(search))
    (use, query), (found, _), (_, said) = claude_blocks(events)
    assert (use["type"], use["name"], use["input"]) == ("server_tool_use", "web_search", {})
    assert loads_object(query) == {"query": "q"}
    assert (found["type"], found["tool_use_id"]) == ("web_search_tool_result", use["id"])
    assert found["content"] == [
        {"type": "web_search_result", "url": "https://x", "title": "https://x", "page_age": None}
    ]
    assert said == "a"


def test_generated_image_is_shown_once():
    """A preview that equals the image is the same image."""
    image = {"type": "image_generation_call", "id": "ig_1", "result": "AA==", "output_format": "jpeg"}
    preview = frame(
        "image_generation_call.partial_image",
        item_id="ig_1",
        output_index=0,
        partial_image_b64="AA==",
        output_format="jpeg",
    )
    frames = [added({**image, "result": None}), preview, done(image), completed(image)]
    assert gemini_parts(told("gemini", *frames)) == [
        {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}}
    ]
    deltas = [event["choices"][0]["delta"] for event in told("openai", *frames) if event["choices"]]
    images = [each["image_url"]["url"] for delta in deltas for each in delta.get("images", [])]
    assert images == ["data:image/jpeg;base64,AA=="]


def test_citations_reach_chat_clients():
    cited = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0, "annotation_index": 0}
    events = told(
        "openai", text("a"), frame("output_text.annotation.added", annotation=cited, **place), completed()
    )
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    (annotation,) = [each for delta in deltas for each in delta.get("annotations", [])]
    assert annotation["url_citation"]["url"] == "https://x"


@pytest.mark.parametrize(
    ("client", "reason"), [("claude", "max_tokens"), ("gemini", "MAX_TOKENS"), ("openai", "length")]
)
def test_answer_that_hit_the_limit(client, reason):
    details = {"reason": "max_output_tokens"}
    events = told(client, text("a"), completed(kind="incomplete", incomplete_details=details))
    assert reason in str(events)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("cyber_policy", "invalid_request_error"),
        ("invalid_prompt", "invalid_request_error"),
        ("rate_limit_exceeded", "rate_limit_error"),
        ("server_error", "api_error"),
    ],
)
def test_failures_have_claudes_words(code, kind):
    failed = frame("failed", response={"status": "failed", "error": {"code": code, "message": "no"}})
    events = told("claude", text("a"), failed)
    assert events[-1] == {"type": "error", "error": {"type": kind, "message": "no"}}


# --- what is this wire's alone ----------------------------------------------------------------------------

USER = {"role": "user", "content": "u"}


def asked(upstream, **members):
    """Ask another upstream what a Responses client asks."""
    ctx = make_context(client_dialect="openai-response", upstream_dialect=upstream)
    dialect = by_id(upstream)
    request = by_id("openai-response").decode_request({"model": "m", **members}, ctx)
    return loads_object(dumps(dialect.encode_request(normalise(request, dialect.rules, ctx), ctx)))


@pytest.mark.parametrize("upstream", ["openai", "claude", "gemini"])
@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"input": [{"type": "compaction", "encrypted_content": "x"}, USER]}, "input[0]"),
        ({"input": [USER, {"type": "compaction_trigger"}]}, "input[1]"),
        ({"prompt": {"id": "pmpt_1"}, "input": [USER]}, "prompt"),
    ],
)
def test_what_nobody_else_can_read_is_refused_by_name(upstream, members, where):
    with pytest.raises(DialectError) as caught:
        asked(upstream, **members)
    assert caught.value.param == where
    assert asked("codex", **members)


@pytest.mark.parametrize("upstream", ["openai", "claude", "gemini"])
def test_server_tool_that_the_upstream_lacks_is_not_demanded_either(upstream):
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "file_search", "vector_store_ids": ["v"]}, function]
    body = asked(upstream, input=[USER], tools=tools, tool_choice={"type": "file_search"})
    assert "file_search" not in dumps(body).decode()
    assert not {"tool_choice", "toolConfig"} & set(body)


def test_generated_image_of_an_earlier_turn_is_seen_by_gemini():
    image = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="}
    body = asked("gemini", input=[USER, image, {"role": "user", "content": "Make it blue."}])
    drawn = next(part for part in body["contents"][1]["parts"] if "inlineData" in part)
    assert (body["contents"][1]["role"], drawn["inlineData"]["data"]) == ("model", "AA==")


def test_turns_around_a_dropped_item_become_one():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "q"}}
    (message,) = asked("claude", input=[USER, search, USER])["messages"]
    assert [block["text"] for block in message["content"]] == ["u", "u"]


def test_detail_of_an_image_in_chats_words():
    part = {"type": "input_image", "image_url": "https://x/y.png", "detail": "original"}
    (message,) = asked("openai", input=[{"role": "user", "content": [part]}])["messages"]
    assert message["content"][0]["image_url"] == {"url": "https://x/y.png", "detail": "high"}
