"""Requests that go on from an answer go to the account that gave it, or the client is told."""

import pytest
import trio

from cliproxy.config.model import Config
from cliproxy.credentials.model import CredentialId
from cliproxy.dialects.base import Action
from cliproxy.errors import BadRequest, Failure, Kind, Scope, UpstreamError
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.exchange.kept import KEPT_S, MOST_ASKED, Ties, ties_of
from cliproxy.routing.affinity import Bindings
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import credential_place
from cliproxy.wire.jsontext import JsonObject, dumps
from support.exchange import ANSWER, Bottle, FakeContract, Reply, bottle, chat, json_reply, request
from support.routes import candidate

RESPONSES = FakeContract("openai-response")
CODEX = FakeContract("codex", streams_only=True)


def answer(name: str = "resp_1", **members: object) -> JsonObject:
    """A whole answer of a Responses upstream."""
    said: JsonObject = {"type": "output_text", "text": "Hello", "annotations": []}
    message: JsonObject = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    return {
        "id": name,
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [{**message, "content": [said]}],
        **members,  # type: ignore[dict-item]
    }


def streamed(name: str) -> Reply:
    """The same as a stream."""
    events = (
        {"type": "response.created", "response": {**answer(name), "status": "in_progress", "output": []}},
        {"type": "response.completed", "response": answer(name)},
    )
    return Reply(body=[b"data: " + dumps(event) + b"\n\n" for event in events])


def missing(name: str) -> Reply:
    error: JsonObject = {
        "message": f"Previous response with id '{name}' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    return json_reply({"error": error}, status=400)


def world_of(
    *replies: Reply, names: str = "ab", contract: FakeContract = RESPONSES, **settings: object
) -> Bottle:
    return bottle(*replies, names=names, contracts=(contract,), **settings)  # type: ignore[arg-type]


async def ask(world: Bottle, client: str = "", stream: bool = False, **members: object) -> None:
    """Send a request of a client, and read its answer."""
    body: JsonObject = {"input": "hi", "stream": stream, **members}  # type: ignore[dict-item]
    wanted = request(body, "openai-response", client_id=client)
    if not stream:
        await answer_exchange(wanted, world.deps)
        return
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted, world.deps)
        async for _ in head.body:
            pass


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("contract", [RESPONSES, FakeContract("openai-response", streams_only=True)])
async def test_the_account_that_answered_is_asked_again(stream: bool, contract: FakeContract) -> None:
    """However the answer came: as it is, as a stream, collected from one."""
    is_stream = stream or contract.streams_only
    replies = [
        streamed(name) if is_stream else json_reply(answer(name)) for name in ("resp_1", "resp_2", "resp_3")
    ]
    world = world_of(*replies, contract=contract)
    await ask(world, stream=stream)
    await ask(world, stream=stream, previous_response_id="resp_1")
    await ask(world, stream=stream, previous_response_id="resp_2")
    assert world.hosts == ["a", "a", "a"]


async def test_other_requests_take_turns_as_ever() -> None:
    world = world_of(*[json_reply(answer(f"resp_{n}")) for n in range(4)])
    for _ in range(4):
        await ask(world)
    assert world.hosts == ["a", "b", "a", "b"]


async def test_an_answer_is_tied_before_the_client_has_all_of_it() -> None:
    """The next request may come while the transport is still being read to its end."""
    reply = streamed("resp_1")
    world = world_of(Reply(body=[*reply.body, 0.5]), json_reply(answer("resp_2")))
    wanted = request({"input": "hi", "stream": True}, "openai-response")
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted, world.deps)
        async for data in head.body:
            if b"response.completed" in data:
                await ask(world, previous_response_id="resp_1")
    assert world.hosts == ["a", "a"]


async def test_a_conversation_is_tied_by_its_first_answer() -> None:
    world = world_of(*[json_reply(answer(f"resp_{n}")) for n in range(3)])
    for _ in range(3):
        await ask(world, conversation={"id": "conv_1"})
    assert world.hosts == ["a", "a", "a"]


async def test_what_a_client_has_kept_cannot_be_named_by_another() -> None:
    world = world_of(json_reply(answer()), missing("resp_1"), missing("resp_1"))
    await ask(world, client="one")
    with pytest.raises(UpstreamError):
        await ask(world, client="two", previous_response_id="resp_1")
    assert len(world.hosts) == 3


async def test_an_account_that_cannot_answer_is_said_to_keep_nothing() -> None:
    """Clients send the whole conversation upon that; another account could only answer without it."""
    world = world_of(json_reply(answer()), json_reply({"error": {"message": "busy"}}, status=503))
    await ask(world)
    with pytest.raises(BadRequest) as caught:
        await ask(world, previous_response_id="resp_1")
    error = caught.value
    assert (error.status, error.code, error.param) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )
    assert "resp_1" in error.message
    assert world.hosts == ["a", "a"]


async def test_nor_does_one_that_rests() -> None:
    world = world_of(json_reply(answer()), config=Config(request_retry=0, max_retry_interval=0))
    await ask(world)
    rest = RuntimeState(until=trio.current_time() + 1000, failures=1, kind=Kind.QUOTA, cause="used up")
    world.runtime.put(credential_place(CredentialId("a")), rest)
    with pytest.raises(BadRequest) as caught:
        await ask(world, previous_response_id="resp_1")
    assert caught.value.code == "previous_response_not_found"
    assert world.hosts == ["a"]


async def test_a_fault_of_the_request_is_told_as_it_is() -> None:
    world = world_of(json_reply(answer()), json_reply({"error": {"message": "too hot"}}, status=400))
    await ask(world)
    with pytest.raises(UpstreamError) as caught:
        await ask(world, previous_response_id="resp_1")
    assert caught.value.message.endswith("too hot")


async def test_something_unknown_may_be_anybodys() -> None:
    """After a restart nothing is known; the accounts that do not have it are none the worse for it."""
    world = world_of(missing("resp_9"), json_reply(answer("resp_10")), json_reply(answer("resp_11")))
    await ask(world, previous_response_id="resp_9")
    await ask(world, previous_response_id="resp_9")
    assert world.hosts == ["a", "b", "b"]
    assert world.runtime.statistics()["states"] == 0


async def test_nobody_having_it_is_what_the_last_one_says() -> None:
    world = world_of(missing("resp_9"), missing("resp_9"))
    with pytest.raises(UpstreamError) as caught:
        await ask(world, previous_response_id="resp_9")
    assert (caught.value.status, caught.value.code) == (400, "previous_response_not_found")
    assert world.hosts == ["a", "b"]


async def test_not_everybody_is_asked_for_something_unknown() -> None:
    names = "abcdefghijkl"
    world = world_of(*[missing("resp_9")] * MOST_ASKED, names=names)
    with pytest.raises(UpstreamError):
        await ask(world, previous_response_id="resp_9")
    assert len(world.hosts) == MOST_ASKED < len(names)


async def test_a_conversation_that_is_not_there_rests_nobody() -> None:
    lost = json_reply({"error": {"message": "Conversation with id 'conv_9' not found."}}, status=404)
    world = world_of(lost, lost)
    with pytest.raises(UpstreamError):
        await ask(world, conversation="conv_9")
    assert world.runtime.statistics()["states"] == 0


@pytest.mark.parametrize("contract", [FakeContract(), FakeContract("claude"), CODEX])
@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    ],
)
async def test_who_keeps_nothing_refuses_it_by_name(
    contract: FakeContract, members: dict[str, object], param: str
) -> None:
    world = world_of(contract=contract)
    with pytest.raises(BadRequest) as caught:
        await ask(world, **members)
    assert caught.value.param == param
    assert world.hosts == []


async def test_nothing_is_remembered_of_answers_that_are_not_kept() -> None:
    world = world_of(json_reply(answer("resp_1")), json_reply(answer("resp_2")))
    await ask(world, store=False)
    assert len(world.deps.kept) == 0
    await ask(world)
    assert len(world.deps.kept) == 1


async def test_nor_of_answers_of_others() -> None:
    world = world_of(Reply(body=ANSWER), contract=FakeContract())
    await ask(world, stream=True)
    assert len(world.deps.kept) == 0


# --- by itself ---


def ties(bindings: Bindings, **members: object) -> Ties | None:
    wanted = request({"input": "hi", **members}, "openai-response")  # type: ignore[dict-item]
    return ties_of(wanted, bindings, now=0.0)


def test_most_requests_have_nothing_to_do_with_it() -> None:
    assert ties_of(chat(), Bindings(), 0.0) is None
    assert ties(Bindings(), store=False) is None
    counted = request({"input": "hi"}, "openai-response", action=Action.COUNT)
    assert ties_of(counted, Bindings(), 0.0) is None


def test_ties_end_with_the_month() -> None:
    bindings = Bindings()
    first = ties(bindings)
    assert first is not None
    first.remember(candidate("a"), "resp_1", now=0.0)
    for now, home in ((KEPT_S - 1, "a"), (KEPT_S + 1, None)):
        wanted = request({"input": "hi", "previous_response_id": "resp_1"}, "openai-response")
        again = ties_of(wanted, bindings, now)
        assert again is not None
        assert again.home == home


def test_an_account_that_has_gone_leaves_nobody_to_ask() -> None:
    bindings = Bindings()
    first = ties(bindings)
    assert first is not None
    first.remember(candidate("a"), "resp_1", now=0.0)
    again = ties(bindings, previous_response_id="resp_1")
    assert again is not None
    assert again.among([candidate("b")]) == ()
    assert again.lost() is not None
    unknown = ties(bindings, previous_response_id="resp_2")
    assert unknown is not None
    assert unknown.among([candidate("b")]) == (candidate("b"),)
    assert unknown.lost() is None


@pytest.mark.parametrize(
    ("kind", "code", "message", "is_lacking"),
    [
        (Kind.INVALID_REQUEST, "previous_response_not_found", "?", True),
        (Kind.NOT_FOUND, None, "no response resp_1", True),
        (Kind.INVALID_REQUEST, None, "temperature is too high", False),
        (Kind.OVERLOADED, None, "resp_1 cannot be read now", False),
    ],
)
def test_which_refusals_are_about_what_is_kept(
    kind: Kind, code: str | None, message: str, is_lacking: bool
) -> None:
    subject = ties(Bindings(), previous_response_id="resp_1")
    assert subject is not None
    failure = Failure(kind=kind, scope=Scope.MODEL, message=message, code=code)
    assert (subject.judged(failure).scope is Scope.REQUEST) is is_lacking
    assert subject.may_be_elsewhere(failure, 1) is is_lacking
    assert not subject.may_be_elsewhere(failure, MOST_ASKED)
