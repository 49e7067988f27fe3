"""The exchanges as the server calls them: commit point, failover, endings, records."""

import json
import math
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from cliproxy.config.groups import Timeouts
from cliproxy.config.model import Config
from cliproxy.dialects.base import Action, ClientRequest
from cliproxy.errors import (
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
from support.exchange import (
    ANSWER,
    DONE,
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

WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
REFUSED = {"error": {"message": "no", "type": "x"}}


async def streamed(world: Bottle, wanted: ClientRequest | None = None) -> bytes:
    """Run a streamed exchange to its end and return what the client receives."""
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted or chat(), world.deps)
        async with head.body:
            return b"".join([piece async for piece in head.body])


async def refused(world: Bottle, wanted: ClientRequest | None = None) -> ProxyError:
    """Run a streamed exchange that must fail before its commit point."""
    with pytest.raises(ProxyError) as caught:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(stream_exchange, wanted or chat(), world.deps)
            except ProxyError as exc:
                error = exc
            nursery.cancel_scope.cancel()
        raise error
    return caught.value


async def test_a_stream_of_the_same_dialect_is_forwarded_byte_for_byte() -> None:
    world = bottle(Reply(body=ANSWER))
    assert await streamed(world, chat(stream_options={"include_usage": True})) == b"".join(ANSWER)
    (record,) = world.records
    assert (record.outcome, record.status, record.stream) == (Outcome.OK, 200, True)
    assert world.upstreams.open_streams == 0


async def test_usage_that_the_client_did_not_ask_for_is_read_and_hidden() -> None:
    usage = chunk(usage={"prompt_tokens": 3, "completion_tokens": 2}, choices=[])
    world = bottle(Reply(body=(*ANSWER[:-1], usage, DONE)))
    assert await streamed(world) == b"".join(ANSWER)
    sent = json.loads(world.upstreams.calls[0].body)
    assert sent["stream_options"] == {"include_usage": True}
    assert world.records[0].usage.input_total == 3


async def test_one_read_of_the_upstream_is_one_message_to_the_client() -> None:
    world = bottle(
        Reply(
            body=(chunk("a"), 1.0, b"".join(chunk("b") for _ in range(50)), 1.0, chunk(finish="stop") + DONE)
        )
    )
    pieces: list[bytes] = []
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        async with head.body:
            pieces = [piece async for piece in head.body]
    assert len(pieces) == 3


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Reply(status=500, body=(b"{}",)), id="status"),
        pytest.param(Reply(status=429, body=(json.dumps(REFUSED).encode(),)), id="rate limit"),
        pytest.param(
            Reply(refuses=TransportError("x", kind=Kind.UNAVAILABLE, phase="connect")), id="refused"
        ),
        pytest.param(
            Reply(body=(TransportError("x", kind=Kind.UNAVAILABLE, phase="body"),)), id="broken at once"
        ),
        pytest.param(
            Reply(body=(chunk(""), TransportError("x", kind=Kind.UPSTREAM, phase="body"))), id="broken early"
        ),
        pytest.param(Reply(body=()), id="empty"),
        pytest.param(Reply(body=(b": hello\n\n",)), id="only a comment"),
        pytest.param(Reply(body=(chunk(""),)), id="only an opening"),
        pytest.param(Reply(body=(b'data: {"error":{"message":"busy"}}\n\n',)), id="error event"),
        pytest.param(json_reply({"error": {"message": "busy"}}), id="JSON error inside a success"),
        pytest.param(
            Reply(headers={"content-type": "text/html"}, body=(b"<html>login</html>",)), id="captive portal"
        ),
        pytest.param(Reply(headers={"content-type": "application/json"}, body=(b"nonsense",)), id="not JSON"),
    ],
)
async def test_failures_before_the_first_content_move_on(first: Reply) -> None:
    """Whatever fails before anything was said, the next credential answers and the client sees only that."""
    world = bottle(first, Reply(body=ANSWER), names="ab")
    assert await streamed(world, chat(stream_options={"include_usage": True})) == b"".join(ANSWER)
    assert world.hosts == ["a", "b"]
    assert [note.failure is None for note in world.records[0].attempts] == [False, True]
    assert world.records[0].outcome is Outcome.OK
    assert world.upstreams.open_streams == 0


async def test_a_fault_of_the_request_ends_at_once() -> None:
    world = bottle(json_reply(REFUSED, 400), names="abc")
    error = await refused(world)
    assert (error.status, error.kind) == (400, Kind.INVALID_REQUEST)
    assert world.hosts == ["a"]
    assert world.runtime.statistics()["states"] == 0


async def test_an_error_body_of_the_same_dialect_reaches_the_client_unchanged() -> None:
    error = await refused(bottle(json_reply(REFUSED, 400)))
    assert error.native is not None
    assert json.loads(error.native.body) == REFUSED


async def test_after_the_commit_an_error_is_a_frame_and_the_end() -> None:
    broken = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")
    world = bottle(Reply(body=(chunk("Hel"), broken)), Reply(body=ANSWER), names="ab")
    output = await streamed(world)
    assert output.startswith(chunk("Hel"))
    tail = json.loads(output.removeprefix(chunk("Hel")).removeprefix(b"data: "))
    assert "reset" in tail["error"]["message"]
    assert world.hosts == ["a"]
    assert world.records[0].outcome is Outcome.ERROR


async def test_a_stream_without_its_terminator_gets_one() -> None:
    assert (await streamed(bottle(Reply(body=ANSWER[:-1])))).endswith(DONE)


async def test_a_stream_cut_off_before_its_finish_ends_in_an_error() -> None:
    output = await streamed(bottle(Reply(body=ANSWER[:3])))
    assert DONE not in output
    assert b"before the end" in output


async def test_silence_in_mid_stream_ends_in_a_time_out(autojump_clock: trio.testing.MockClock) -> None:
    config = Config(request_retry=0, timeouts=Timeouts(idle_seconds=30))
    world = bottle(Reply(body=(chunk("Hel"), math.inf)), config=config)
    output = await streamed(world)
    assert b"silent for 30 s" in output
    assert trio.current_time() >= 30
    assert world.upstreams.open_streams == 0


async def test_an_upstream_that_stays_open_after_its_end_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(Reply(body=(*ANSWER, math.inf)))
    start = trio.current_time()
    assert (await streamed(world)).endswith(DONE)
    assert trio.current_time() - start < 2
    assert world.records[0].outcome is Outcome.OK


async def test_a_slow_client_slows_the_upstream_down() -> None:
    """At most a handful of reads are ahead of the client."""
    world = bottle(Reply(body=[chunk("x")] * 1000))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        await trio.testing.wait_all_tasks_blocked()
        assert world.upstreams.operations < 10
        nursery.cancel_scope.cancel()
        head.body.close()


async def cancelled_at(operation: int, replies: Sequence[Reply], names: str) -> tuple[Bottle, bool]:
    """Run an exchange and cancel it at its n-th I/O operation; tell whether it got that far."""
    world = bottle(*replies, names=names)
    reached = False

    async with trio.open_nursery() as nursery:

        def cancel(number: int) -> None:
            nonlocal reached
            if number == operation:
                reached = True
                nursery.cancel_scope.cancel()

        world.upstreams.on_operation = cancel
        head = await nursery.start(stream_exchange, chat(), world.deps)
        async with head.body:
            async for _ in head.body:
                pass
    return world, reached


async def test_cancelling_anywhere_leaves_nothing_behind() -> None:
    """The cancel sweep: at every I/O operation of an exchange with a failover in it."""
    replies = (Reply(status=503, body=(b"{}",)), Reply(body=ANSWER))
    for operation in range(1, 100):
        world, reached = await cancelled_at(operation, replies, "ab")
        assert world.upstreams.open_streams == 0
        assert len(world.records) == 1
        if not reached:
            assert world.records[0].outcome is Outcome.OK
            break
        assert world.records[0].outcome is Outcome.CANCELLED
        cooled = 1 if any(note.failure for note in world.records[0].attempts) else 0
        assert world.runtime.statistics()["states"] == cooled
    assert operation > 5


async def test_unknown_models_are_not_found() -> None:
    with pytest.raises(ModelNotFound):
        await answer_exchange(request({}, model="other"), bottle().deps)


async def test_a_whole_answer_of_the_same_dialect_is_forwarded() -> None:
    world = bottle(json_reply(WHOLE))
    answer = await answer_exchange(chat(stream=False), world.deps)
    assert json.loads(answer.body) == WHOLE
    assert world.records[0].usage.output_total == 2


@pytest.mark.parametrize(
    "first",
    [
        json_reply(REFUSED, 503),
        json_reply({"error": {"message": "busy"}}),
        Reply(headers={"content-type": "application/json"}, body=(b"",)),
        Reply(headers={"content-type": "text/html"}, body=(b"<html>",)),
        json_reply({**WHOLE, "choices": []}),
    ],
)
async def test_whole_answers_that_are_none_move_on(first: Reply) -> None:
    world = bottle(first, json_reply(WHOLE), names="ab")
    assert json.loads((await answer_exchange(chat(stream=False), world.deps)).body) == WHOLE
    assert world.hosts == ["a", "b"]


async def test_an_upstream_that_only_streams_serves_a_client_that_does_not() -> None:
    world = bottle(Reply(body=ANSWER), contracts=(FakeContract(streams_only=True),))
    answer = json.loads((await answer_exchange(chat(stream=False), world.deps)).body)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert world.upstreams.calls[0].stream


async def test_an_upstream_that_ignores_the_wish_to_stream_serves_a_client_that_does() -> None:
    output = await streamed(bottle(json_reply(WHOLE)))
    assert b"Hello" in output
    assert output.endswith(DONE)


async def test_a_refused_token_is_renewed_once() -> None:
    world = bottle(json_reply(REFUSED, 401), json_reply(WHOLE), names="ab")
    await answer_exchange(chat(stream=False), world.deps)
    assert world.hosts == ["a", "a"]
    assert world.tokens.renewals == [("a", 0)]
    sent = [call.headers.get("authorization") for call in world.upstreams.calls]
    assert sent == ["Bearer a-account-0", "Bearer a-account-1"]
    assert world.runtime.statistics()["states"] == 0


async def test_a_token_refused_twice_counts_against_the_credential() -> None:
    world = bottle(json_reply(REFUSED, 401), json_reply(REFUSED, 401), json_reply(WHOLE), names="ab")
    await answer_exchange(chat(stream=False), world.deps)
    assert world.hosts == ["a", "a", "b"]
    assert world.runtime.statistics()["states"] == 1


async def test_without_a_renewal_the_refusal_is_what_the_client_sees() -> None:
    world = bottle(json_reply(REFUSED, 401), tokens=FakeTokens(can_renew=False))
    with pytest.raises(UpstreamError) as caught:
        await answer_exchange(chat(stream=False), world.deps)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("code", "kind"), [("invalid_grant", Kind.AUTHENTICATION), ("unreachable", Kind.UNAVAILABLE)]
)
async def test_a_token_that_cannot_be_had_is_a_failed_attempt(code: str, kind: Kind) -> None:
    world = bottle(tokens=FakeTokens(failure=LoginError("log in again", code=code)))
    with pytest.raises(UpstreamError, match="log in again") as caught:
        await answer_exchange(chat(stream=False), world.deps)
    assert caught.value.kind is kind
    assert world.hosts == []


async def test_an_unavailable_way_gives_way_to_the_next_of_the_same_credential() -> None:
    """And is left alone afterwards."""
    failing = LoginError("not on this instance", code="not_available")

    class Tokens(FakeTokens):
        async def ensure_fresh(self, wanted: object, slot: object) -> object:
            if slot == "agent-gateway":
                raise failing
            return await super().ensure_fresh(wanted, slot)  # type: ignore[arg-type]

    contracts = (FakeContract(id="agent", needs="agent-gateway"), FakeContract(id="gateway"))  # type: ignore[arg-type]
    world = bottle(json_reply(WHOLE), json_reply(WHOLE), contracts=contracts, tokens=Tokens())
    await answer_exchange(chat(stream=False), world.deps)
    await answer_exchange(chat(stream=False), world.deps)
    assert [call.url for call in world.upstreams.calls] == ["https://a.example/gateway/m"] * 2
    assert [note.contract for note in world.records[0].attempts] == ["agent", "gateway"]
    assert [note.contract for note in world.records[1].attempts] == ["gateway"]


async def test_when_everybody_cools_down_the_client_learns_until_when(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after="40"), config=Config(request_retry=0))
    first = await refused(world)
    assert (first.status, first.retry_after) == (429, 40.0)
    with pytest.raises(NothingReady, match="cooling down") as caught:
        await answer_exchange(chat(stream=False), world.deps)
    assert caught.value.status == 429
    assert caught.value.retry_after == pytest.approx(40, abs=5)
    assert world.hosts == ["a"]


async def test_a_short_cooldown_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(
        json_reply(REFUSED, 503), json_reply(WHOLE), config=Config(request_retry=1, max_retry_interval=30)
    )
    start = trio.current_time()
    await answer_exchange(chat(stream=False), world.deps)
    assert 1 <= trio.current_time() - start < 3


async def test_a_long_cooldown_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(
        json_reply(REFUSED, 429, retry_after="31"), config=Config(request_retry=3, max_retry_interval=30)
    )
    start = trio.current_time()
    with pytest.raises(UpstreamError):
        await answer_exchange(chat(stream=False), world.deps)
    assert trio.current_time() == start


async def test_credentials_take_turns() -> None:
    world = bottle(*[json_reply(WHOLE)] * 4, names="ab")
    for _ in range(4):
        await answer_exchange(chat(stream=False), world.deps)
    assert world.hosts == ["a", "b", "a", "b"]


async def test_cooling_can_be_switched_off() -> None:
    world = bottle(json_reply(REFUSED, 500), json_reply(WHOLE), disable_cooling=True)
    with pytest.raises(UpstreamError):
        await answer_exchange(chat(stream=False), world.deps)
    await answer_exchange(chat(stream=False), world.deps)


async def test_tokens_are_estimated_where_nobody_counts() -> None:
    body = {"messages": [{"role": "user", "content": "four words of text"}], "max_tokens": 5}
    world = bottle()
    counted = await count_exchange(request(body, "claude", action=Action.COUNT), world.deps)
    assert json.loads(counted.body)["input_tokens"] > 3
    assert world.hosts == []
    assert len(world.records) == 1


async def test_tokens_are_counted_by_the_upstream_where_it_can() -> None:
    contract = FakeContract("claude", actions=(Action.GENERATE, Action.COUNT))
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    world = bottle(json_reply({"input_tokens": 1234}), contracts=(contract,))
    counted = await count_exchange(request(body, "claude", action=Action.COUNT), world.deps)
    assert json.loads(counted.body) == {"input_tokens": 1234}
