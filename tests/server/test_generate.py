"""The generation handler: from bytes to bytes, in virtual time and without sockets."""

import gc
import gzip
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from cliproxy.config.entries import ClientKey
from cliproxy.config.groups import Limits as ConfigLimits
from cliproxy.config.groups import Streaming
from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import Kind, TransportError
from cliproxy.exchange.record import Outcome
from cliproxy.server.generate import forget_frames
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.jsontext import Document
from cliproxy.wire.secret import Secret
from support.application import application
from support.asgi import client_of
from support.exchange import ANSWER, DONE, FakeContract, Reply, bottle, chunk, json_reply

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
RESET = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")
PATH = "/v1/chat/completions"
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}


async def test_a_whole_answer() -> None:
    async with client_of(application(bottle(json_reply(WHOLE)))) as client:
        response = await client("POST", PATH, CHAT)
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert await response.json() == WHOLE
        assert len(response.sent) == 1


async def test_a_stream() -> None:
    async with client_of(application(bottle(Reply(body=ANSWER)))) as client:
        response = await client("POST", PATH, STREAM)
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert "content-length" not in response.headers
        assert await response.read() == b"".join(ANSWER)


async def test_an_error_before_the_first_byte_is_an_error_response() -> None:
    world = bottle(json_reply({"error": {"message": "slow down"}}, 429, retry_after="7"))
    async with client_of(application(world)) as client:
        response = await client("POST", PATH, STREAM)
        assert (response.status, response.headers["retry-after"]) == (429, "7")
        assert await response.json() == {"error": {"message": "slow down"}}


async def test_silence_is_filled_after_the_first_byte(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(Reply(body=(chunk("a"), 50.0, chunk(finish="stop"), DONE)))
    async with client_of(application(world, streaming=Streaming(keepalive_seconds=15))) as client:
        response = await client("POST", PATH, STREAM)
        assert (await response.read()).count(b": keep-alive\n\n") == 3


async def test_keep_alive_can_be_switched_off(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(Reply(body=(chunk("a"), 50.0, chunk(finish="stop"), DONE)))
    async with client_of(application(world, streaming=Streaming(keepalive_seconds=0))) as client:
        response = await client("POST", PATH, STREAM)
        assert b"keep-alive" not in await response.read()


@pytest.mark.parametrize("body", [(), (chunk("a"),)])
async def test_a_client_that_leaves_ends_the_upstream_at_once(
    body: tuple[bytes, ...], autojump_clock: trio.testing.MockClock
) -> None:
    """Also while the upstream is silent, before and after the first byte."""
    world = bottle(Reply(body=(*body, math.inf)))
    async with client_of(application(world)) as client:
        if body:
            response = await client("POST", PATH, STREAM)
            assert await response.messages.receive() == body[0]
            start = trio.current_time()
            response.leave.set()
            await trio.testing.wait_all_tasks_blocked()
            assert trio.current_time() == start
        else:
            with trio.move_on_after(1):
                await client("POST", PATH, STREAM)
    assert world.upstreams.open_streams == 0
    assert [record.outcome for record in world.records] == [Outcome.CANCELLED]


async def test_a_missing_key_is_refused_before_the_body_is_looked_at() -> None:
    async with client_of(application(bottle(), keys=["sk-0123456789abcdef"])) as client:
        response = await client("POST", PATH, b"{nonsense")
        assert response.status == 401
        assert "Missing API key" in (await response.json())["error"]["message"]


async def test_clients_keys_do_not_reach_the_upstream() -> None:
    world = bottle(json_reply(WHOLE))
    async with client_of(application(world, keys=["sk-0123456789abcdef"])) as client:
        response = await client(
            "POST", PATH + "?key=sk-0123456789abcdef", CHAT, {"x-api-key": "sk-0123456789abcdef"}
        )
        assert response.status == 200
    assert "sk-0123456789abcdef" not in json.dumps([str(call) for call in world.upstreams.calls])


async def test_bounds_are_refused_by_name() -> None:
    world = bottle(Reply(body=(chunk("a"), math.inf)))
    async with client_of(application(world, bounds=(1, 0))) as client:
        await client("POST", PATH, STREAM)
        busy = await client("POST", PATH, CHAT)
        assert busy.status == 503
        assert "its limit" in (await busy.json())["error"]["message"]


def client_key(name: str, **limits: object) -> ClientKey:
    return ClientKey(name=name, key=Secret(f"sk-{name}-0123456789"), **limits)  # type: ignore[arg-type]


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer sk-{name}-0123456789"}


@pytest.mark.parametrize("model", ["m", "p://m", "m(high)", "auto"])
@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_model_that_a_key_may_not_use_does_not_exist(body: dict[str, object], model: str) -> None:
    """It learns nothing of what others may use: the answer is that to a name nobody knows."""
    entries = [client_key("none", models=("other",)), client_key("some", models=("m",))]
    world = bottle(json_reply(WHOLE), Reply(body=ANSWER))
    async with client_of(application(world, entries=entries)) as client:
        refused = await client("POST", PATH, {**body, "model": model}, bearer("none"))
        unknown = await client("POST", PATH, {**body, "model": "nobody-knows"}, bearer("none"))
        assert (refused.status, unknown.status) == (404, 404)
        said, same = (await refused.json())["error"], (await unknown.json())["error"]
        assert said["code"] == "model_not_found"
        assert said["message"].replace(f"`{model}`", "`nobody-knows`") == same["message"]
        assert world.upstreams.calls == []
        assert (await client("POST", PATH, {**CHAT, "model": model}, bearer("some"))).status == 200
    assert [record.client for record in world.records] == ["none", "none", "some"]


async def test_failover_stays_with_the_providers_of_a_key() -> None:
    """Nobody else is asked, also when all that may be asked have failed."""
    world = bottle(Reply(status=500), Reply(status=500), json_reply(WHOLE), names="ab")
    entries = [client_key("none", providers=("q",)), client_key("all", providers=("p",))]
    async with client_of(application(world, entries=entries)) as client:
        assert (await client("POST", PATH, CHAT, bearer("none"))).status == 404
        assert world.hosts == []
        assert (await client("POST", PATH, CHAT, bearer("all"))).status == 500
    assert world.hosts == ["a", "b"]


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_key_has_places_of_its_own(body: dict[str, object]) -> None:
    world = bottle(Reply(body=(chunk("a"), math.inf)), Reply(body=ANSWER))
    entries = [client_key("one", concurrent=1), client_key("other", concurrent=1)]
    async with client_of(application(world, entries=entries)) as client:
        await client("POST", PATH, STREAM, bearer("one"))
        busy = await client("POST", PATH, body, bearer("one"))
        assert (busy.status, busy.headers["retry-after"]) == (429, "1")
        assert "1 requests under way" in (await busy.json())["error"]["message"]
        assert (await client("POST", PATH, STREAM, bearer("other"))).status == 200


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        (PATH, CHAT, {"type": "insufficient_quota", "code": "insufficient_quota", "limit": "tokens-per-day"}),
        ("/v1/responses", {"model": "m", "input": "hi"}, {"code": "insufficient_quota"}),
        ("/v1/messages", {**CHAT, "max_tokens": 9}, {"type": "rate_limit_error"}),
        ("/v1beta/models/m:generateContent", {"contents": []}, {"code": 429, "status": "RESOURCE_EXHAUSTED"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_used_up_budget_is_told_in_every_dialect(
    path: str, body: dict[str, object], shape: dict[str, object], stream: bool
) -> None:
    world = bottle(json_reply(WHOLE))
    if stream:
        path, body = path.replace(":generateContent", ":streamGenerateContent"), {**body, "stream": True}
    entries = [client_key("poor", tokens_per_day=1)]
    async with client_of(application(world, entries=entries)) as client:
        assert (await client("POST", PATH, CHAT, bearer("poor"))).status == 200
        refused = await client("POST", path, body, bearer("poor"))
        said = (await refused.json())["error"]
    # It is 22:13:20 UTC.
    assert (refused.status, refused.headers["retry-after"]) == (429, "6400")
    assert said.items() >= shape.items()
    assert "`tokens-per-day`, 1 in a day (UTC):" in said["message"]
    assert len(world.upstreams.calls) == 1


async def test_upstream_headers_are_shown_only_when_wanted() -> None:
    reply = Reply(
        headers={"content-type": "application/json", "x-ratelimit": "9"}, body=(json.dumps(WHOLE).encode(),)
    )
    async with client_of(application(bottle(reply))) as client:
        assert "x-ratelimit" not in (await client("POST", PATH, CHAT)).headers
    async with client_of(application(bottle(reply), passthrough_headers=True)) as client:
        assert (await client("POST", PATH, CHAT)).headers["x-ratelimit"] == "9"


@pytest.mark.parametrize("stream", [True, False])
async def test_headers_that_quote_our_token_are_shown_without_it(stream: bool) -> None:
    headers = {"x-echo": "Bearer a-account-0", "content-type": "application/json"}
    reply = Reply(headers=headers, body=(json.dumps(WHOLE).encode(),))
    async with client_of(application(bottle(reply), passthrough_headers=True)) as client:
        answer = await client("POST", PATH, {**CHAT, "stream": stream})
    assert (answer.status, answer.headers["x-echo"]) == (200, "Bearer ***")


async def test_a_compressed_request_is_understood() -> None:
    packed = gzip.compress(json.dumps(CHAT).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    async with client_of(application(bottle(json_reply(WHOLE)))) as client:
        assert (await client("POST", PATH, packed, headers)).status == 200


# --- embeddings and images -------------------------------------------------------------------------

FORM = FormData.of(
    [
        Part(name="model", data=b"m"),
        Part(name="prompt", data=b"a cat"),
        Part(name="image", data=b"\x89PNG" * 100, filename="a.png", mime="image/png"),
    ]
)
DRAWS = (FakeContract("openai-images", actions=(Action.IMAGE,)),)
DRAWN = {"created": 1, "data": [{"b64_json": "AAAA"}]}
EDITS = "/v1/images/edits"


async def test_a_form_reaches_the_upstream_as_it_is() -> None:
    world = bottle(json_reply(DRAWN), contracts=DRAWS)
    async with client_of(application(world)) as client:
        response = await client("POST", EDITS, FORM.raw, {"content-type": FORM.content_type})
        assert (response.status, await response.json()) == (200, DRAWN)
    assert world.upstreams.calls[0].body == FORM.raw


async def test_a_compressed_form_is_understood() -> None:
    headers = {"content-type": FORM.content_type, "content-encoding": "gzip"}
    world = bottle(json_reply(DRAWN), contracts=DRAWS)
    async with client_of(application(world)) as client:
        assert (await client("POST", EDITS, gzip.compress(FORM.raw), headers)).status == 200
    assert world.upstreams.calls[0].body == FORM.raw


async def test_a_form_is_bounded_like_every_body() -> None:
    headers = {"content-type": FORM.content_type, "content-encoding": "gzip"}
    many = [*FORM.parts, Part(name="image", data=bytes(2 * 1024 * 1024), filename="b")]
    packed = gzip.compress(FormData.of(many).raw)
    limits = ConfigLimits(body_mb=1)
    async with client_of(application(bottle(contracts=DRAWS), limits=limits)) as client:
        response = await client("POST", EDITS, packed, headers)
        assert response.status == 413
        assert "limit of 1 MB" in (await response.json())["error"]["message"]


async def test_images_can_be_switched_off() -> None:
    body = {"model": "m", "prompt": "a cat"}
    for word, status in (("true", 404), ("chat", 200)):
        world = bottle(json_reply(DRAWN), contracts=DRAWS)
        async with client_of(application(world, disable_image_generation=word)) as client:
            response = await client("POST", "/v1/images/generations", body)
            assert response.status == status
            if status == 404:
                assert "disable-image-generation" in (await response.json())["error"]["message"]


async def test_a_record_tells_what_embeddings_cost() -> None:
    vectors = {"data": [{"embedding": [1]}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    world = bottle(json_reply(vectors), contracts=(FakeContract(actions=(Action.EMBED,)),))
    async with client_of(application(world)) as client:
        response = await client("POST", "/v1/embeddings", {"model": "m", "input": "hi"})
        assert (response.status, await response.json()) == (200, vectors)
    [record] = world.records
    assert (record.action, record.usage.input_total) == ("embed", 7)


async def test_portions_are_one_record() -> None:
    """Three pictures of an upstream that draws one at a time."""
    candidate = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}}
    reply = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 5}}
    draws = (FakeContract("gemini", actions=(Action.IMAGE,)),)
    world = bottle(*[json_reply(reply)] * 3, contracts=draws)
    async with client_of(application(world)) as client:
        body = {"model": "m", "prompt": "a cat", "n": 3}
        answer = await (await client("POST", "/v1/images/generations", body)).json()
    assert len(answer["data"]) == 3
    assert answer["usage"]["total_tokens"] == 21
    [record] = world.records
    assert (record.outcome, record.usage.output_total, len(record.attempts)) == (Outcome.OK, 15, 3)


# --- memory ----------------------------------------------------------------------------------------------

CLAUDE = {"model": "m", "max_tokens": 9, "messages": CHAT["messages"]}


def held() -> int:
    """How many requests are in memory. What is part of a cycle stays until the collector comes by."""
    return sum(isinstance(each, Document | ClientRequest) for each in gc.get_objects())


@contextmanager
def forgetting() -> Iterator[None]:
    """What is asked meanwhile has to be forgotten at the end, without the collector's help."""
    gc.collect()
    before = held()
    gc.disable()
    try:
        yield
        assert held() == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("path", "body", "reply"),
    [
        (PATH, CHAT, json_reply(WHOLE)),
        (PATH, STREAM, Reply(body=ANSWER)),
        ("/v1/messages", CLAUDE, json_reply(WHOLE)),
        ("/v1/messages", {**CLAUDE, "stream": True}, Reply(body=ANSWER)),
        (PATH, STREAM, json_reply({"error": {"message": "no"}}, 400)),
        (PATH, STREAM, Reply(body=(chunk("a"), RESET))),
        (PATH, {**CHAT, "model": "unknown"}, json_reply(WHOLE)),
        (PATH, {**CHAT, "messages": 7}, json_reply(WHOLE)),
    ],
)
async def test_an_answered_request_is_forgotten_at_once(
    path: str, body: dict[str, object], reply: Reply
) -> None:
    """It may have megabytes. Nothing about it may wait for the garbage collector."""
    async with client_of(application(bottle(reply, reply))) as client:
        with forgetting():
            for _ in range(2):
                response = await client("POST", path, body)
                await response.read()
            del response
            await trio.testing.wait_all_tasks_blocked()


async def test_so_is_one_that_no_account_can_carry() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    body = {**CHAT, "messages": [{"role": "user", "content": [picture]}]}
    text_only = FakeContract("gitlab-chat", id="text", framing=Framing.WHOLE)
    async with client_of(application(bottle(contracts=(text_only,), names="ab"))) as client:
        with forgetting():
            response = await client("POST", PATH, body)
            assert response.status == 400
            await response.read()
            del response
            await trio.testing.wait_all_tasks_blocked()


async def test_so_is_one_whose_client_has_left(autojump_clock: trio.testing.MockClock) -> None:
    async with client_of(application(bottle(Reply(body=(chunk("a"), 1000.0))))) as client:
        with forgetting():
            response = await client("POST", PATH, STREAM)
            assert held()
            response.leave.set()
            del response
            await trio.sleep(1)


def test_reasons_that_lead_back_to_themselves_have_an_end() -> None:
    first, second = ValueError(), KeyError()
    for error in (first, second):
        with pytest.raises(type(error)):
            raise error
        assert error.__traceback__ is not None
    first.__cause__, second.__context__ = second, first
    forget_frames(first)
    assert first.__traceback__ is second.__traceback__ is None
