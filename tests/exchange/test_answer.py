"""The exchanges as the server calls them: what reaches the client, and the one record that is left."""

import json
import math
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from cliproxy.config.groups import Timeouts
from cliproxy.config.model import Config
from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import (
    BadRequest,
    Kind,
    LoginError,
    ModelNotFound,
    NothingReady,
    ProxyError,
    TransportError,
    UpstreamError,
)
from cliproxy.exchange.answer import answer_exchange, count_exchange, stream_exchange
from cliproxy.exchange.record import Outcome
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest
from support.exchange import (
    ANSWER,
    DONE,
    REFUSED,
    SSE,
    WHOLE,
    Bottle,
    FakeContract,
    FakeTokens,
    Reply,
    bottle,
    chat,
    chunk,
    json_reply,
    request,
)

Clock = trio.testing.MockClock
USAGE_ASKED = {"stream_options": {"include_usage": True}}
RESET = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")
CLAUDE = {"messages": [{"role": "user", "content": "four words of text"}], "max_tokens": 5}


async def streamed(world: Bottle, wanted: ClientRequest | None = None) -> bytes:
    """Run a streamed exchange to its end and return what the client receives."""
    pieces: list[bytes] = []
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted or chat(), world.deps)
        async with head.body:
            pieces = [piece async for piece in head.body]
    return b"".join(pieces)


async def refused(world: Bottle, wanted: ClientRequest | None = None) -> ProxyError:
    """Run a streamed exchange that must fail before its commit point. The error arrives as itself, not in a
    group."""
    error: ProxyError | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(stream_exchange, wanted or chat(), world.deps)
        except ProxyError as exc:
            error = exc
        nursery.cancel_scope.cancel()
    assert error is not None
    return error


def outcome(world: Bottle) -> tuple[Outcome, int, Kind | None]:
    """What the one record says."""
    [record] = world.records
    return record.outcome, record.status, record.kind


OK = (Outcome.OK, 200, None)


# --- streams --------------------------------------------------------------------------------------


async def test_a_stream_of_the_same_dialect_is_forwarded_byte_for_byte() -> None:
    world = bottle(Reply(body=ANSWER))
    assert await streamed(world, chat(**USAGE_ASKED)) == b"".join(ANSWER)
    assert outcome(world) == OK
    assert world.records[0].stream
    assert world.upstreams.open_streams == 0


async def test_usage_that_the_client_did_not_ask_for_is_read_and_hidden() -> None:
    usage = chunk(usage={"prompt_tokens": 3, "completion_tokens": 2}, choices=[])
    world = bottle(Reply(body=(*ANSWER[:-1], usage, DONE)))
    assert await streamed(world) == b"".join(ANSWER)
    assert world.records[0].usage.input_total == 3


async def test_one_read_of_the_upstream_is_one_message_to_the_client(autojump_clock: Clock) -> None:
    many = b"".join(chunk("b") for _ in range(50))
    world = bottle(Reply(body=(chunk("a"), 1.0, many, 1.0, chunk(finish="stop") + DONE)))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        async with head.body:
            pieces = [piece async for piece in head.body]
    assert len(pieces) == 3


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Reply(status=500, body=(b"{}",)), id="status"),
        pytest.param(json_reply(REFUSED, 429), id="rate limit"),
        pytest.param(
            Reply(refuses=TransportError("x", kind=Kind.UNAVAILABLE, phase="connect")), id="refused"
        ),
        pytest.param(Reply(body=(RESET,)), id="broken at once"),
        pytest.param(Reply(body=(chunk(""), RESET)), id="broken early"),
        pytest.param(Reply(body=()), id="empty"),
        pytest.param(Reply(body=(b": hello\n\n",)), id="only a comment"),
        pytest.param(Reply(body=(chunk(""),)), id="only an opening"),
        pytest.param(Reply(body=(chunk(""), chunk(finish="stop"), DONE)), id="nothing said"),
        pytest.param(Reply(body=(DONE,)), id="only a terminator"),
        pytest.param(Reply(body=(b'data: {"error":{"message":"busy"}}\n\n',)), id="error event"),
        pytest.param(json_reply({"error": {"message": "busy"}}), id="JSON error inside a success"),
        pytest.param(
            Reply(headers={"content-type": "text/html"}, body=(b"<html>login</html>",)), id="captive portal"
        ),
        pytest.param(Reply(headers={"content-type": "application/json"}, body=(b"nonsense",)), id="not JSON"),
        pytest.param(Reply(headers={"content-type": "application/json"}, body=(b" ",)), id="blank"),
        pytest.param(Reply(headers={"content-type": "application/json"}, body=(math.inf,)), id="silent body"),
    ],
)
async def test_failures_before_the_first_content_move_on(autojump_clock: Clock, first: Reply) -> None:
    """Whatever fails before anything was said, the next credential answers and the client sees only that."""
    world = bottle(first, Reply(body=ANSWER), names="ab")
    assert await streamed(world, chat(**USAGE_ASKED)) == b"".join(ANSWER)
    assert world.hosts == ["a", "b"]
    assert [note.failure is None for note in world.records[0].attempts] == [False, True]
    assert outcome(world) == OK
    assert world.upstreams.open_streams == 0


async def test_an_error_before_the_first_byte_is_raised() -> None:
    world = bottle(json_reply(REFUSED, 400))
    error = await refused(world)
    assert error.native is not None
    assert json.loads(error.native.body) == REFUSED
    assert outcome(world) == (Outcome.ERROR, 400, Kind.INVALID_REQUEST)


async def test_after_the_commit_an_error_is_a_frame_and_the_end() -> None:
    """It counts against the account, too."""
    world = bottle(Reply(body=(chunk("Hel"), RESET)), Reply(body=ANSWER), names="ab")
    output = await streamed(world)
    tail = json.loads(output.removeprefix(chunk("Hel")).removeprefix(b"data: "))
    assert "reset" in tail["error"]["message"]
    assert world.hosts == ["a"]
    assert outcome(world) == (Outcome.ERROR, 503, Kind.UNAVAILABLE)
    assert world.runtime.statistics()["states"] == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [(ANSWER, None), ((*ANSWER[:2], RESET), "reset"), ((RESET,), "reset")],
    ids=["answer", "broken", "refused"],
)
async def test_a_json_array_is_legal_json_in_every_case(
    body: Sequence[bytes | Exception], error: str | None
) -> None:
    wanted = request(
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        "gemini",
        stream=True,
        framing=Framing.JSON_ARRAY,
    )
    world = bottle(Reply(body=body))
    if len(body) == 1:
        assert "reset" in (await refused(world, wanted)).message
        return
    values = json.loads(await streamed(world, wanted))
    assert ("error" in values[-1]) is (error is not None)
    assert "Hel" in json.dumps(values)


async def test_a_stream_without_its_terminator_gets_one() -> None:
    assert (await streamed(bottle(Reply(body=ANSWER[:-1])))).endswith(DONE)


async def test_a_stream_cut_off_before_its_finish_ends_in_an_error() -> None:
    world = bottle(Reply(body=ANSWER[:3]))
    output = await streamed(world)
    assert DONE not in output
    assert b"before the end" in output
    assert outcome(world) == (Outcome.ERROR, 502, Kind.UPSTREAM)


async def test_silence_in_mid_stream_ends_in_a_time_out(autojump_clock: Clock) -> None:
    config = Config(request_retry=0, timeouts=Timeouts(idle_seconds=30))
    world = bottle(Reply(body=(chunk("Hel"), math.inf)), config=config)
    assert b"silent for 30 s" in await streamed(world)
    assert trio.current_time() >= 30
    assert outcome(world) == (Outcome.ERROR, 504, Kind.TIMEOUT)
    assert world.upstreams.open_streams == 0


async def test_an_upstream_that_stays_open_after_its_end_is_not_waited_for(autojump_clock: Clock) -> None:
    world = bottle(Reply(body=(*ANSWER, math.inf)))
    start = trio.current_time()
    assert (await streamed(world)).endswith(DONE)
    assert trio.current_time() - start < 2
    assert outcome(world) == OK


async def test_a_slow_client_slows_the_upstream_down() -> None:
    """At most a handful of reads are ahead of the client."""
    world = bottle(Reply(body=[chunk("x")] * 1000))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        await trio.testing.wait_all_tasks_blocked()
        assert world.upstreams.operations < 12
        nursery.cancel_scope.cancel()
        head.body.close()


async def test_an_upstream_that_ignores_the_wish_to_stream_serves_a_client_that_does() -> None:
    world = bottle(json_reply(WHOLE))
    output = await streamed(world)
    assert b"Hello" in output
    assert output.endswith(DONE)
    assert world.records[0].usage.output_total == 2


@pytest.mark.parametrize("kind", ["", "text/event-stream; charset=utf-8", "text/plain", "TEXT/EVENT-STREAM"])
async def test_streams_are_known_by_several_names(kind: str) -> None:
    world = bottle(Reply(headers={"content-type": kind}, body=ANSWER))
    assert await streamed(world, chat(**USAGE_ASKED)) == b"".join(ANSWER)


async def test_a_way_that_never_streams_serves_a_client_that_does() -> None:
    contract = FakeContract(framing=Framing.WHOLE)
    world = bottle(json_reply(WHOLE), contracts=(contract,))
    assert b"Hello" in await streamed(world)
    assert not world.upstreams.calls[0].stream


# --- whole answers --------------------------------------------------------------------------------


async def test_a_whole_answer_of_the_same_dialect_is_forwarded() -> None:
    world = bottle(json_reply({**WHOLE, "future_field": [1.50]}))
    answer = await answer_exchange(chat(stream=False), world.deps)
    assert json.loads(answer.body) == {**WHOLE, "future_field": [1.50]}
    assert world.records[0].usage.output_total == 2
    assert outcome(world) == OK


async def test_a_whole_answer_of_another_dialect_is_translated() -> None:
    world = bottle(json_reply(WHOLE))
    answer = json.loads((await answer_exchange(request(CLAUDE, "claude"), world.deps)).body)
    assert answer["content"] == [{"type": "text", "text": "Hello"}]
    assert world.records[0].usage.input_total == 3


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(json_reply(REFUSED, 503), id="status"),
        pytest.param(json_reply({"error": {"message": "busy"}}), id="error inside a success"),
        pytest.param(Reply(headers={"content-type": "application/json"}, body=(b"",)), id="empty"),
        pytest.param(Reply(headers={"content-type": "text/html"}, body=(b"<html>",)), id="captive portal"),
        pytest.param(json_reply({**WHOLE, "choices": []}), id="nothing said"),
        pytest.param(
            Reply(headers={"content-type": "application/json"}, body=(b'{"id"', math.inf)), id="silent body"
        ),
        pytest.param(Reply(headers=SSE, body=(*ANSWER[:2], RESET)), id="broken stream"),
        pytest.param(Reply(headers=SSE, body=(b'data: {"error":{"message":"busy"}}\n\n',)), id="error event"),
    ],
)
async def test_whole_answers_that_are_none_move_on(autojump_clock: Clock, first: Reply) -> None:
    world = bottle(first, json_reply(WHOLE), names="ab")
    assert json.loads((await answer_exchange(chat(stream=False), world.deps)).body) == WHOLE
    assert world.hosts == ["a", "b"]
    assert outcome(world) == OK
    assert world.upstreams.open_streams == 0


async def test_a_captive_portal_is_called_what_it_is() -> None:
    page = Reply(headers={"content-type": "text/html; charset=utf-8"}, body=(b"<html>",))
    with pytest.raises(UpstreamError, match="answered with text/html") as caught:
        await answer_exchange(chat(stream=False), bottle(page).deps)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(ANSWER[:3], id="cut off"),
        pytest.param((chunk(""), chunk(finish="stop"), DONE), id="empty"),
        pytest.param((b'data: {"error":{"message":"busy"}}\n\n',), id="error event"),
        pytest.param((b"data: " + b"x" * (17 * 1024 * 1024),), id="too long"),
        pytest.param((chunk("a"), math.inf), id="silent"),
    ],
)
async def test_streams_that_are_no_answer_are_collected_in_vain(
    autojump_clock: Clock, broken: Sequence[bytes | float]
) -> None:
    world = bottle(
        Reply(body=broken), Reply(body=ANSWER), contracts=(FakeContract(streams_only=True),), names="ab"
    )
    answer = json.loads((await answer_exchange(chat(stream=False), world.deps)).body)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert world.hosts == ["a", "b"]


async def test_an_upstream_that_only_streams_serves_a_client_that_does_not() -> None:
    world = bottle(Reply(body=ANSWER), contracts=(FakeContract(streams_only=True),))
    answer = json.loads((await answer_exchange(chat(stream=False), world.deps)).body)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert world.upstreams.calls[0].stream


@pytest.mark.parametrize("streams_only", [True, False])
async def test_the_upstream_decides_how_it_answers(streams_only: bool) -> None:
    """Asked for a stream it may send one body, and the other way round."""
    reply = json_reply(WHOLE) if streams_only else Reply(body=ANSWER)
    world = bottle(reply, contracts=(FakeContract(streams_only=streams_only),))
    answer = json.loads((await answer_exchange(chat(stream=False), world.deps)).body)
    assert answer["choices"][0]["message"]["content"] == "Hello"


async def test_an_answer_that_ended_for_a_reason_may_be_empty() -> None:
    world = bottle(
        Reply(body=(chunk(""), chunk(finish="length"), DONE)), contracts=(FakeContract(streams_only=True),)
    )
    answer = json.loads((await answer_exchange(chat(stream=False), world.deps)).body)
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_an_answer_has_a_limit_as_a_whole(autojump_clock: Clock) -> None:
    config = Config(request_retry=0, timeouts=Timeouts(total_seconds=60))
    slow = Reply(headers={"content-type": "application/json"}, body=[b" ", 10.0] * 20)
    with pytest.raises(UpstreamError, match="not complete after 60 s") as caught:
        await answer_exchange(chat(stream=False), bottle(slow, config=config).deps)
    assert caught.value.status == 504
    assert trio.current_time() == 60


# --- counting -------------------------------------------------------------------------------------

COUNTING = FakeContract("claude", actions=(Action.GENERATE, Action.COUNT))
COUNT = request(CLAUDE, "claude", action=Action.COUNT)


async def test_tokens_are_estimated_where_nobody_counts() -> None:
    world = bottle()
    counted = await count_exchange(COUNT, world.deps)
    assert json.loads(counted.body)["input_tokens"] > 3
    assert world.hosts == []
    assert outcome(world) == OK


async def test_tokens_are_counted_by_the_upstream_where_it_can() -> None:
    world = bottle(json_reply({"input_tokens": 1234}), contracts=(COUNTING,))
    assert json.loads((await count_exchange(COUNT, world.deps)).body) == {"input_tokens": 1234}


@pytest.mark.parametrize(
    "reply",
    [json_reply(REFUSED, 404), json_reply(REFUSED, 429), json_reply({}), Reply(body=(b"<html>",))],
    ids=["absent", "out of quota", "no count", "no JSON"],
)
async def test_a_count_that_cannot_be_had_is_estimated(reply: Reply) -> None:
    world = bottle(reply, contracts=(COUNTING,))
    assert json.loads((await count_exchange(COUNT, world.deps)).body)["input_tokens"] > 3
    assert outcome(world) == OK
    [note] = world.records[0].attempts
    assert note.failure is not None


async def test_a_fault_of_the_request_is_not_estimated_away() -> None:
    world = bottle(json_reply(REFUSED, 400), contracts=(COUNTING,))
    with pytest.raises(UpstreamError) as caught:
        await count_exchange(COUNT, world.deps)
    assert caught.value.status == 400


async def test_what_cannot_be_read_cannot_be_counted() -> None:
    world = bottle()
    with pytest.raises(BadRequest):
        await count_exchange(request({"messages": 7}, "claude", action=Action.COUNT), world.deps)
    assert outcome(world) == (Outcome.ERROR, 400, Kind.INVALID_REQUEST)


async def test_a_dialect_without_counting_says_so() -> None:
    world = bottle()
    with pytest.raises(BadRequest, match="not part of the `openai` API"):
        await count_exchange(request({}, action=Action.COUNT), world.deps)
    assert outcome(world) == (Outcome.ERROR, 400, Kind.INVALID_REQUEST)


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", [answer_exchange, count_exchange, stream_exchange])
async def test_an_unknown_model_leaves_a_record_too(exchange: object) -> None:
    world = bottle()
    with pytest.raises(ModelNotFound):
        await exchange(request(CLAUDE, "claude", model="other"), world.deps)  # type: ignore[operator]
    assert outcome(world) == (Outcome.ERROR, 404, Kind.NOT_FOUND)
    assert world.records[0].attempts == ()


async def test_a_request_that_cannot_be_read_leaves_a_record_too() -> None:
    world = bottle(contracts=(FakeContract("claude"),))
    assert (await refused(world, chat(messages=7))).status == 400
    assert outcome(world) == (Outcome.ERROR, 400, Kind.INVALID_REQUEST)


async def test_nobody_ready_leaves_a_record_too() -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after="100"))
    assert (await refused(world)).status == 429
    assert isinstance(await refused(world), NothingReady)
    assert [record.status for record in world.records] == [429, 429]


async def test_a_token_that_cannot_be_had_leaves_a_record_too() -> None:
    world = bottle(tokens=FakeTokens(failure=LoginError("log in again", code="invalid_grant")))
    assert (await refused(world)).status == 401
    assert outcome(world) == (Outcome.ERROR, 401, Kind.AUTHENTICATION)


def broken_quirk(_wanted: IRRequest, _context: ExchangeContext) -> IRRequest:
    raise RuntimeError("a fault of ours")


async def test_a_fault_of_ours_leaves_a_record_too() -> None:
    world = bottle(quirks=(broken_quirk,))
    with pytest.raises(RuntimeError):
        await answer_exchange(chat(stream=False), world.deps)
    assert outcome(world) == (Outcome.ERROR, 500, Kind.INTERNAL)


async def test_a_fault_of_ours_in_mid_stream_does_not_end_the_body() -> None:
    """The client must not take what it has for the whole answer."""
    world = bottle(Reply(body=(chunk("Hel"), ValueError("a fault of ours"))))
    bodies: list[trio.MemoryReceiveChannel[bytes]] = []
    with pytest.RaisesGroup(ValueError):
        async with trio.open_nursery() as nursery:
            bodies.append((await nursery.start(stream_exchange, chat(), world.deps)).body)
            await trio.sleep_forever()
    assert bodies[0].receive_nowait() == chunk("Hel")
    with pytest.raises(trio.WouldBlock):
        bodies[0].receive_nowait()
    assert outcome(world) == (Outcome.ERROR, 500, Kind.INTERNAL)


async def test_losses_of_translation_are_noted() -> None:
    world = bottle(json_reply({"error": {"message": "x"}}, 400), contracts=(FakeContract("claude"),))
    await refused(world, chat(seed=7))
    assert any("seed" in note for note in world.records[0].notes)


# --- leaving --------------------------------------------------------------------------------------


async def test_usage_so_far_is_recorded_when_the_client_leaves(autojump_clock: Clock) -> None:
    usage = chunk(content="x", usage={"prompt_tokens": 3, "completion_tokens": 1})
    world = bottle(Reply(body=(usage, math.inf)))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        await head.body.receive()
        nursery.cancel_scope.cancel()
    assert outcome(world) == (Outcome.CANCELLED, 499, Kind.CANCELLED)
    assert world.records[0].usage.input_total == 3
    [note] = world.records[0].attempts
    assert (note.credential, note.failure) == ("a", None)
    assert world.upstreams.open_streams == 0


async def test_usage_so_far_is_recorded_when_a_collected_answer_is_not_awaited(
    autojump_clock: Clock,
) -> None:
    usage = chunk(content="x", usage={"prompt_tokens": 3, "completion_tokens": 1})
    world = bottle(Reply(body=(usage, math.inf)), contracts=(FakeContract(streams_only=True),))
    with trio.move_on_after(5):
        await answer_exchange(chat(stream=False), world.deps)
    assert outcome(world) == (Outcome.CANCELLED, 499, Kind.CANCELLED)
    assert world.records[0].usage.input_total == 3


async def test_a_client_that_leaves_after_the_terminal_event_had_its_answer(autojump_clock: Clock) -> None:
    world = bottle(Reply(body=(*ANSWER, math.inf)))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        received = b""
        while DONE not in received:
            received += await head.body.receive()
        nursery.cancel_scope.cancel()
    assert outcome(world) == OK


async def test_an_error_at_the_moment_the_client_leaves_is_still_an_error_of_its_own() -> None:
    """Both in the same instant: whichever wins, it is no group and no crash."""
    world = bottle(json_reply(REFUSED, 400))
    async with trio.open_nursery() as nursery:

        def leave(number: int) -> None:
            if number == 3:
                trio.lowlevel.current_trio_token().run_sync_soon(nursery.cancel_scope.cancel)

        world.upstreams.on_operation = leave
        with pytest.raises((UpstreamError, trio.Cancelled)):
            await nursery.start(stream_exchange, chat(), world.deps)
        nursery.cancel_scope.cancel()
    assert len(world.records) == 1
