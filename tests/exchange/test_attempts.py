"""The attempt loop: who is tried, how often, what is held against whom, and what the client is told."""

import math
from collections.abc import Mapping

import pytest
import trio
import trio.testing
from attrs import evolve, frozen

from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.config.entries import ScopedError
from cliproxy.config.errorrules import compiled
from cliproxy.config.groups import QuotaExceeded, Streaming
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import (
    AnswerCut,
    BadRequest,
    Failure,
    Kind,
    LoginError,
    ModelNotFound,
    NothingReady,
    Scope,
    TransportError,
    UpstreamError,
)
from cliproxy.exchange.answer import answer_exchange
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.health import CONTRACT_PAUSE_S
from cliproxy.exchange.plan import Plan
from cliproxy.login.rates import RateRule
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Call, CallLimit
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.wire.http import HttpCall
from cliproxy.wire.secret import Secret
from support.exchange import (
    NOW,
    REFUSED,
    WHOLE,
    Bottle,
    FakeContract,
    FakeTokens,
    Reply,
    attempt,
    bottle,
    chat,
    everything,
    json_reply,
    recorder_of,
    refused,
    request,
)

NO_CONNECTION = TransportError("connection refused", kind=Kind.UNAVAILABLE, phase="connect")
UNREACHABLE = Reply(refuses=NO_CONNECTION)
GOOD = json_reply(WHOLE)


def states(world: Bottle) -> int:
    return world.runtime.statistics()["states"]


# --- who is tried ---------------------------------------------------------------------------------


async def test_unknown_models_are_not_found() -> None:
    with pytest.raises(ModelNotFound):
        await attempt(bottle(), request({}, model="other"))


async def test_credentials_take_turns() -> None:
    world = bottle(*[GOOD] * 4, names="ab")
    for _ in range(4):
        await attempt(world)
    assert world.hosts == ["a", "b", "a", "b"]


async def test_a_higher_priority_comes_first_as_long_as_it_is_ready() -> None:
    world = bottle(GOOD, GOOD, json_reply(REFUSED, 503), GOOD, GOOD, names="ab", own={"b": {"priority": 1}})
    for _ in range(4):
        await attempt(world)
    assert world.hosts == ["b", "b", "b", "a", "a"]


async def test_every_credential_is_tried_once_in_a_round() -> None:
    world = bottle(*[json_reply(REFUSED, 503)] * 3, names="abc")
    error = await refused(world)
    assert world.hosts == ["a", "b", "c"]
    assert len(error.failures) == 3
    assert error.status == 503


async def test_a_fault_of_the_request_ends_at_once_and_is_held_against_nobody() -> None:
    world = bottle(json_reply(REFUSED, 400), names="abc")
    error = await refused(world)
    assert (error.status, error.kind) == (400, Kind.INVALID_REQUEST)
    assert world.hosts == ["a"]
    assert states(world) == 0


async def test_the_most_useful_of_several_failures_is_told() -> None:
    """An account that is out of quota until a time says more than one that is away. But those that are away
    may be back sooner."""
    world = bottle(
        json_reply(REFUSED, 429, retry_after="90"), json_reply(REFUSED, 503), UNREACHABLE, names="abc"
    )
    error = await refused(world)
    assert (error.status, error.kind, error.message) == (503, Kind.UNAVAILABLE, "p: no")
    assert error.failures[-1].kind is Kind.RATE_LIMIT
    assert error.retry_after == pytest.approx(1.0, abs=0.2)
    assert len(error.failures) == 3


async def test_a_refusal_that_quotes_our_token_is_told_without_it() -> None:
    """Neither the words nor the upstream's own body, which a client of the same dialect would receive as it
    is."""
    world = bottle(json_reply({"error": {"message": "bad token a-account-0", "code": "a-account-0"}}, 403))
    error = await refused(world)
    assert error.message == "p: bad token ***"
    assert error.code == "***"
    assert error.native is not None
    assert error.native.body == b'{"error":{"message":"bad token ***","code":"***"}}'
    assert [failure.message for failure in error.failures] == ["p: bad token ***"]


# --- contracts ------------------------------------------------------------------------------------


class TokensFor(FakeTokens):
    """Some slots cannot be opened."""

    failures: Mapping[TokenSlot, LoginError]

    async def ensure_fresh(self, wanted: Credential, slot: TokenSlot) -> Token:
        if slot in self.failures:
            raise self.failures[slot]
        return await super().ensure_fresh(wanted, slot)


def tokens_without(**failures: LoginError) -> FakeTokens:
    tokens = TokensFor()
    tokens.failures = {TokenSlot[name]: error for name, error in failures.items()}
    return tokens


AGENT = FakeContract(id="agent", needs=TokenSlot.AGENT_GATEWAY)
GATEWAY = FakeContract(id="gateway", needs=TokenSlot.GATEWAY)


async def test_a_closed_way_gives_way_to_the_next_and_is_left_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    tokens = tokens_without(AGENT_GATEWAY=LoginError("not on this instance", code="not_available"))
    world = bottle(GOOD, GOOD, GOOD, contracts=(AGENT, GATEWAY), tokens=tokens)
    tried = []
    for pause in (1, CONTRACT_PAUSE_S * 1.2, 0):
        wanted = chat(stream=False)
        recorder = recorder_of(world, wanted)
        await Attempts(wanted, world.deps, recorder, everything).run()
        tried.append([note.contract for note in recorder.attempts])
        await trio.sleep(pause)
    assert tried == [["agent", "gateway"], ["gateway"], ["agent", "gateway"]]


async def test_a_way_that_was_away_for_a_moment_is_used_again_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    tokens = tokens_without(AGENT_GATEWAY=LoginError("503", code="unavailable", status=503))
    world = bottle(GOOD, GOOD, contracts=(AGENT, GATEWAY), tokens=tokens)
    await attempt(world)
    tokens.failures = {}
    await trio.sleep(5)
    await attempt(world)
    assert [call.url.split("/")[3] for call in world.upstreams.calls] == ["gateway", "agent"]


async def test_an_account_whose_ways_are_all_closed_rests_until_the_first_is_open_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And says all the while why: it is no fault of the request, and nobody is asked in vain."""
    tokens = tokens_without(
        AGENT_GATEWAY=LoginError("agent platform is off", code="not_available"),
        GATEWAY=LoginError("no seat", code="no_seat", retry_after=600.0),
    )
    world = bottle(GOOD, contracts=(AGENT, GATEWAY), tokens=tokens)
    error = await refused(world)
    assert (error.status, error.kind) == (403, Kind.PERMISSION)
    await trio.sleep(400)
    with pytest.raises(NothingReady, match="no seat") as caught:
        await attempt(world)
    assert caught.value.retry_after == pytest.approx(260, abs=70)
    tokens.failures = {}
    await trio.sleep(400)
    await attempt(world)
    assert len(world.hosts) == 1


async def test_closed_ways_are_named_where_pauses_are_switched_off() -> None:
    tokens = tokens_without(AGENT_GATEWAY=LoginError("agent platform is off", code="not_available"))
    world = bottle(contracts=(AGENT,), tokens=tokens, disable_cooling=True)
    await refused(world)
    error = await refused(world)
    assert (error.status, error.kind) == (403, Kind.PERMISSION)
    assert "agent platform is off" in error.message


@pytest.mark.parametrize(("action", "param"), [(Action.FILL_IN_THE_MIDDLE, "suffix"), (Action.COMPACT, None)])
async def test_what_no_account_can_do_is_a_fault_of_the_request(action: Action, param: str | None) -> None:
    world = bottle(names="ab")
    with pytest.raises(BadRequest) as caught:
        await attempt(world, request({}, action=action))
    assert (caught.value.status, caught.value.param) == (400, param)
    assert "`m` cannot" in caught.value.message
    assert states(world) == 0


async def test_what_another_account_could_do_in_a_moment_is_no_fault_of_the_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One account cannot carry the request, the other one cools down."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    wanted = chat(stream=False, messages=[{"role": "user", "content": [picture]}])
    world = bottle(names="ab", contracts=(FakeContract("gitlab-chat", id="text", framing=Framing.WHOLE),))
    world.runtime.put(("b", "m"), RuntimeState(until=50.0, failures=1, kind=Kind.RATE_LIMIT, cause="slow"))
    with pytest.raises(NothingReady) as caught:
        await attempt(world, wanted)
    assert caught.value.retry_after is not None


async def test_closing_the_ways_to_a_side_matter_leaves_the_model_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fill = FakeContract(
        id="fill",
        actions=(Action.FILL_IN_THE_MIDDLE,),
        failure=Failure(kind=Kind.RATE_LIMIT, scope=Scope.CONTRACT, message="slow down", retry_after=60.0),
    )
    world = bottle(json_reply(REFUSED, 429), GOOD, contracts=(FakeContract(), fill))
    for _ in range(2):
        error = await refused(world, request({}, action=Action.FILL_IN_THE_MIDDLE))
        assert (error.status, error.retry_after) == (429, pytest.approx(60, abs=7))
    await attempt(world)
    assert len(world.hosts) == 2


async def test_a_way_that_opens_soon_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    fill = FakeContract(id="fill", actions=(Action.FILL_IN_THE_MIDDLE,))
    limit = CallLimit(name="code", rule=RateRule(1, 20.0))
    world = bottle(GOOD, GOOD, contracts=(fill,), limits={"fill": limit}, config=Config(request_retry=1))
    wanted = request({}, action=Action.FILL_IN_THE_MIDDLE)
    await attempt(world, wanted)
    assert trio.current_time() == 0
    await attempt(world, wanted)
    assert 20 <= trio.current_time() < 23


# --- limits that are known beforehand -------------------------------------------------------------

CODE = CallLimit(name="code suggestions", rule=RateRule(2, 60.0))


async def test_what_an_upstream_would_refuse_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    """Two ways share the limit; each account has its own."""
    ways = (FakeContract(id="one"), FakeContract(id="two"))
    world = bottle(GOOD, GOOD, GOOD, contracts=ways, limits={"one": CODE, "two": CODE}, names="ab")
    for _ in range(3):
        await attempt(world)
    assert world.hosts == ["a", "b", "a"]
    await trio.sleep(61)
    world.runtime.put_calls(("a", "limit:code suggestions"), [61.0, 61.0])
    world.runtime.put_calls(("b", "limit:code suggestions"), [61.0, 61.0])
    error = await refused(world)
    assert (error.status, error.kind) == (429, Kind.RATE_LIMIT)
    assert "code suggestions may be asked 2 times in 60 s" in error.message
    assert error.retry_after == pytest.approx(60, abs=7)
    assert len(world.hosts) == 3


async def test_ways_without_a_known_limit_are_not_counted() -> None:
    world = bottle(*[GOOD] * 5, limits={"another": CODE})
    for _ in range(5):
        await attempt(world)
    assert world.runtime.calls(("a", "limit:code suggestions")) == ()


async def test_a_stream_prefers_ways_that_stream() -> None:
    whole = FakeContract(id="whole", framing=Framing.WHOLE)
    world = bottle(GOOD, GOOD, contracts=(whole, FakeContract(id="live")))
    await attempt(world, chat(stream=True))
    await attempt(world, chat(stream=False))
    assert [call.url.split("/")[3] for call in world.upstreams.calls] == ["live", "whole"]


async def test_where_every_way_is_good_the_clients_own_dialect_goes_first() -> None:
    ways = (FakeContract("claude", id="claude"), FakeContract("openai", id="chat"))
    for native_first, first in ((False, "claude"), (True, "chat")):
        world = bottle(GOOD, contracts=ways, native_first=native_first)
        await attempt(world, chat(stream=True))
        assert [call.url.split("/")[3] for call in world.upstreams.calls] == [first]


async def test_a_model_is_reached_only_by_the_ways_its_upstream_names() -> None:
    ways = (FakeContract(id="one"), FakeContract(id="two"))
    world = bottle(GOOD, contracts=ways, info=ModelInfo(id="m", contracts=("two",)))
    await attempt(world)
    assert [call.url.split("/")[3] for call in world.upstreams.calls] == ["two"]
    nowhere = bottle(contracts=ways, info=ModelInfo(id="m", contracts=("three",)))
    with pytest.raises(BadRequest):
        await attempt(nowhere)


async def test_a_contract_learns_the_time_and_a_number_used_once() -> None:
    calls: list[Call] = []

    @frozen
    class Signing(FakeContract):
        def prepare(self, call: Call) -> HttpCall:
            calls.append(call)
            return FakeContract.prepare(self, call)

    world = bottle(GOOD, GOOD, contracts=(Signing(),))
    await attempt(world)
    await attempt(world)
    assert {call.now for call in calls} == {NOW}
    assert len({call.nonce for call in calls}) == 2
    assert {len(call.nonce) for call in calls} == {32}


async def test_what_one_way_cannot_carry_the_next_may() -> None:
    """The text-only way refuses an image by name; alone, that is what the client is told."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    wanted = chat(stream=False, messages=[{"role": "user", "content": [picture]}])
    text_only = FakeContract("gitlab-chat", id="text", framing=Framing.WHOLE)
    world = bottle(GOOD, contracts=(text_only, FakeContract()))
    await attempt(world, wanted)
    assert len(world.upstreams.calls) == 1
    alone = bottle(contracts=(text_only,), names="ab")
    with pytest.raises(BadRequest) as caught:
        await attempt(alone, wanted)
    assert caught.value.status == 400
    assert states(alone) == 0


# --- pauses ---------------------------------------------------------------------------------------


async def test_when_everybody_cools_down_the_client_learns_until_when(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after="40"))
    first = await refused(world)
    assert (first.status, first.retry_after) == (429, 40.0)
    with pytest.raises(NothingReady, match="cooling down") as caught:
        await attempt(world)
    assert caught.value.status == 429
    assert caught.value.retry_after == pytest.approx(40, abs=5)
    assert world.hosts == ["a"]


async def test_a_short_cooldown_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(json_reply(REFUSED, 503), GOOD, config=Config(request_retry=1, max_retry_interval=30))
    start = trio.current_time()
    await attempt(world)
    assert 1 <= trio.current_time() - start < 3


async def test_a_long_cooldown_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(
        json_reply(REFUSED, 429, retry_after="31"), config=Config(request_retry=3, max_retry_interval=30)
    )
    start = trio.current_time()
    await refused(world)
    assert trio.current_time() == start


@pytest.mark.parametrize(
    ("config", "own", "stream", "rounds"),
    [
        (Config(request_retry=0), None, False, 1),
        (Config(request_retry=3), None, False, 4),
        (Config(request_retry=3), 1, False, 2),
        (Config(request_retry=3), -1, False, 4),
        (Config(request_retry=0), 2, False, 3),
        (Config(request_retry=0, streaming=Streaming(bootstrap_retries=2)), None, True, 3),
        (Config(request_retry=0, streaming=Streaming(bootstrap_retries=2)), None, False, 1),
    ],
)
async def test_rounds_are_bounded(
    autojump_clock: trio.testing.MockClock, config: Config, own: int | None, stream: bool, rounds: int
) -> None:
    world = bottle(*[json_reply(REFUSED, 503)] * 20, config=config, request_retry=own)
    start = trio.current_time()
    await refused(world, chat(stream=stream))
    assert len(world.hosts) == rounds
    assert trio.current_time() - start <= rounds * config.max_retry_interval


async def test_failures_that_do_not_pass_are_not_repeated() -> None:
    world = bottle(*[json_reply(REFUSED, 403)] * 5, config=Config(request_retry=3), disable_cooling=True)
    await refused(world)
    assert len(world.hosts) == 1


async def test_cooling_can_be_switched_off() -> None:
    world = bottle(json_reply(REFUSED, 500), GOOD, disable_cooling=True)
    await refused(world)
    await attempt(world)


async def test_an_answer_that_breaks_off_counts_against_the_model_and_ends_the_exchange() -> None:
    cut = AnswerCut(Failure(kind=Kind.UPSTREAM, scope=Scope.MODEL, message="reset"))

    async def serve(_stream: UpstreamStream, _plan: Plan) -> bytes:
        raise cut

    world = bottle(GOOD, names="ab", config=Config(request_retry=3))
    with pytest.raises(AnswerCut):
        await attempt(world, serve=serve)
    assert world.hosts == ["a"]
    assert states(world) == 1
    assert world.upstreams.open_streams == 0


async def test_counting_says_nothing_about_the_model() -> None:
    """An upstream without a way to count still answers requests."""
    contract = FakeContract(actions=(Action.GENERATE, Action.COUNT))
    world = bottle(json_reply(REFUSED, 404), contracts=(contract,))
    await refused(world, request({}, action=Action.COUNT))
    assert states(world) == 0


@pytest.mark.parametrize("action", [Action.EMBED, Action.IMAGE])
@pytest.mark.parametrize(("status", "paused"), [(404, 0), (500, 0), (429, 1)])
async def test_of_embeddings_and_images_only_a_limit_pauses_the_model(
    action: Action, status: int, paused: int
) -> None:
    """A server without the route still has a model to talk to."""
    contract = FakeContract(actions=(Action.GENERATE, action))
    world = bottle(json_reply(REFUSED, status, retry_after="60"), contracts=(contract,))
    await refused(world, request({"input": "hi"}, action=action))
    assert states(world) == paused


async def test_who_can_is_named_where_a_model_cannot() -> None:
    world = bottle(contracts=(FakeContract(),))
    with pytest.raises(BadRequest, match=r"`m` cannot make embeddings here\. No configured account can\."):
        await attempt(world, request({"input": "hi"}, action=Action.EMBED))
    assert world.upstreams.calls == []


async def test_notes_tell_every_attempt() -> None:
    world = bottle(json_reply(REFUSED, 503), GOOD, names="ab")
    wanted = chat(stream=False)
    recorder = recorder_of(world, wanted)
    await Attempts(wanted, world.deps, recorder, everything).run()
    first, second = recorder.attempts
    assert (first.provider, first.credential, first.contract, first.model) == ("p", "a", "only", "m")
    assert first.failure is not None
    assert first.failure.kind is Kind.UNAVAILABLE
    assert (second.credential, second.failure) == ("b", None)


async def test_another_way_may_lead_to_another_host() -> None:
    ways = (
        FakeContract(id="one", host="x"),
        FakeContract(id="two", host="x"),
        FakeContract(id="three", host="y"),
    )
    world = bottle(UNREACHABLE, GOOD, contracts=ways)
    await attempt(world)
    assert [call.url.split("/")[2:4] for call in world.upstreams.calls] == [
        ["x.example", "one"],
        ["y.example", "three"],
    ]


# --- hosts ----------------------------------------------------------------------------------------

SHARED = (FakeContract(host="x"),)


async def test_a_host_that_cannot_be_reached_is_tried_once_for_all_its_accounts() -> None:
    world = bottle(UNREACHABLE, names="abc", contracts=SHARED)
    error = await refused(world)
    assert len(world.upstreams.calls) == 1
    assert error.status == 503
    assert len(error.failures) == 3
    assert world.runtime.statistics()["states"] == 1


async def test_a_host_is_waited_for_before_another_round(autojump_clock: trio.testing.MockClock) -> None:
    """Rounds are not wasted on a host that is known to be away."""
    world = bottle(UNREACHABLE, GOOD, names="ab", contracts=SHARED, config=Config(request_retry=1))
    start = trio.current_time()
    await attempt(world)
    assert 1 <= trio.current_time() - start < 3
    assert len(world.upstreams.calls) == 2


async def test_any_answer_of_a_host_ends_its_pause(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(
        *[UNREACHABLE, json_reply(REFUSED, 400)] * 6, UNREACHABLE, contracts=SHARED, disable_cooling=True
    )
    for _ in range(6):
        await refused(world)
        await trio.sleep(100)
        await refused(world)
    last = await refused(world)
    assert last.retry_after is not None
    assert last.retry_after < 2


async def test_a_broken_proxy_of_one_account_does_not_stop_the_others() -> None:
    world = bottle(
        UNREACHABLE, GOOD, names="ab", contracts=SHARED, own={"a": {"proxy_url": Secret("http://proxy")}}
    )
    await attempt(world)
    assert len(world.upstreams.calls) == 2


# --- refusals -------------------------------------------------------------------------------------


async def test_a_contract_may_know_better_what_a_refusal_means() -> None:
    known = Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="no credits left", status=403)
    error = await refused(bottle(json_reply(REFUSED, 403), contracts=(FakeContract(failure=known),)))
    assert (error.kind, error.status) == (Kind.QUOTA, 403)
    assert "no credits left" in error.message


# --- explanations ---------------------------------------------------------------------------------


async def test_explanations_show_no_keys() -> None:
    key = "sk-live-0123456789abcdef0123"
    world = bottle(json_reply({"error": {"message": f"Incorrect API key provided: {key}"}}, 401), names="a")
    world.tokens.can_renew = False
    await refused(world)
    with pytest.raises(NothingReady) as caught:
        await attempt(world)
    assert "Incorrect API key provided" in caught.value.message
    assert key not in caught.value.message


# --- leaving --------------------------------------------------------------------------------------


async def test_leaving_anywhere_leaves_nothing_behind() -> None:
    """The cancel sweep over a failover with a renewal in it, one I/O operation after the other."""
    replies = (json_reply(REFUSED, 503), json_reply(REFUSED, 401), GOOD)
    for operation in range(1, 100):
        world = bottle(*replies, names="ab")
        wanted = chat(stream=False)
        recorder = recorder_of(world, wanted)
        reached = False
        with trio.CancelScope() as scope:

            def cancel(number: int, scope: trio.CancelScope = scope, at: int = operation) -> None:
                nonlocal reached
                if number == at:
                    reached = True
                    scope.cancel()

            world.upstreams.on_operation = cancel
            await Attempts(wanted, world.deps, recorder, everything).run()
        assert world.upstreams.open_streams == 0
        failed = [note for note in recorder.attempts if note.failure is not None]
        assert states(world) == len(failed)
        assert recorder.attempts[-1].failure is None
        if not reached:
            break
        assert scope.cancelled_caught
    assert [note.credential for note in recorder.attempts] == ["a", "b"]
    assert operation > 8


# --- accounts that count as several ---------------------------------------------------------------

PROJECTS = {name: {"part_of": "acc"} for name in "ab"}


async def test_the_next_project_goes_on_without_quota_of_the_first() -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after="90"), GOOD, GOOD, names="ab", own=PROJECTS)
    await attempt(world)
    await attempt(world)
    assert world.hosts == ["a", "b", "b"]


async def test_without_switching_projects_the_account_rests_as_a_whole() -> None:
    config = Config(request_retry=0, quota_exceeded=QuotaExceeded(switch_project=False))
    world = bottle(json_reply(REFUSED, 429, retry_after="90"), names="ab", own=PROJECTS, config=config)
    error = await refused(world)
    assert error.retry_after == pytest.approx(90, abs=10)
    with pytest.raises(NothingReady):
        await attempt(world)
    assert world.hosts == ["a"]


async def test_a_refused_login_is_one_of_all_projects() -> None:
    tokens = FakeTokens(can_renew=False)
    world = bottle(json_reply(REFUSED, 401), names="ab", own=PROJECTS, tokens=tokens)
    assert (await refused(world)).status == 401
    with pytest.raises(NothingReady):
        await attempt(world)
    assert world.hosts == ["a"]


async def test_an_account_that_was_taken_away_meanwhile_is_not_tried() -> None:
    """The exchange began before; only what it has not tried yet is looked at again."""
    world = bottle(json_reply(REFUSED, 503), GOOD, names="abc")
    begun = world.deps.snapshot()
    left = [each for each in begun.credentials if each.id != "b"]
    rest = build([Offer(credential=each, models=(ModelInfo(id="m"),)) for each in left])
    current = [begun]

    asked = chat(stream=False)
    deps = evolve(world.deps, snapshot=lambda: current[0])
    attempts = Attempts(asked, deps, recorder_of(world, asked), everything)
    current[0] = evolve(begun, registry=rest)
    await attempts.run()
    assert world.hosts == ["a", "c"]


# --- those who have rested ------------------------------------------------------------------------

LIMITED = json_reply(REFUSED, 429, retry_after="20")
SLOWLY = Reply(headers=GOOD.headers, body=(5.0, *GOOD.body))


async def test_an_account_that_has_rested_is_tried_by_one_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The others wait for what becomes of it, and are served then."""
    world = bottle(LIMITED, SLOWLY, *[GOOD] * 4)
    await refused(world)
    await trio.sleep(30)
    times: list[float] = []
    begin = trio.current_time()

    async def ask() -> None:
        await attempt(world)
        times.append(trio.current_time() - begin)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
        await trio.sleep(4)
        assert len(world.upstreams.calls) == 2
    assert times == [5.0] * 5
    assert states(world) == 0


async def test_a_trial_that_fails_sends_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    limited = Reply(status=429, headers={"retry-after": "20"}, body=(2.0, b"{}"))
    world = bottle(LIMITED, limited)
    await refused(world)
    await trio.sleep(30)
    told: list[float | None] = []

    async def ask() -> None:
        with pytest.raises((UpstreamError, NothingReady)) as caught:
            await attempt(world)
        told.append(caught.value.retry_after)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask)
    assert len(world.upstreams.calls) == 2
    assert [wait is not None and 19 <= wait <= 22 for wait in told] == [True] * 4


async def test_others_are_served_elsewhere_while_one_is_tried(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(LIMITED, GOOD, SLOWLY, GOOD, GOOD, names="ab", config=Config(request_retry=0))
    await attempt(world)
    await trio.sleep(30)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(attempt, world)
    assert world.hosts[:2] == ["a", "b"]
    assert sorted(world.hosts[2:]) == ["a", "b", "b"]


async def test_a_trial_that_is_cancelled_leaves_its_place_to_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(LIMITED, SLOWLY, GOOD)
    await refused(world)
    await trio.sleep(30)
    before = world.runtime.state(("a", "m"))
    done: list[float] = []

    async def wait_for_it() -> None:
        await attempt(world)
        done.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(leave_soon, world)
            await trio.sleep(0.5)
            nursery.start_soon(wait_for_it)
            await trio.sleep_forever()
        assert world.runtime.state(("a", "m")) == before
        left = trio.current_time()
    assert done[0] - left <= 1.0
    assert states(world) == 0


async def leave_soon(world: Bottle) -> None:
    """Ask and go away before the answer."""
    with trio.move_on_after(1.5):
        await attempt(world)


async def test_a_trial_that_takes_long_does_not_keep_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(LIMITED, Reply(headers=GOOD.headers, body=(100.0, *GOOD.body)), GOOD)
    await refused(world)
    await trio.sleep(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt, world)
        await trio.sleep(1)
        begin = trio.current_time()
        await attempt(world)
        assert trio.current_time() - begin < 11


async def test_a_long_answer_of_before_does_not_open_what_was_closed_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(SLOWLY, LIMITED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt, world)
        await trio.sleep(1)
        await refused(world)
    assert states(world) == 1


# --- what the owner wants -------------------------------------------------------------------------


def rule(action: str, status: int = 0, *texts: str) -> dict[str, object]:
    """Settings of a credential with one rule about errors."""
    return {"error_rules": compiled([ScopedError(status=status, match=texts, action=action)])}


@pytest.mark.parametrize(
    ("action", "asked", "rests"),
    [
        ("stop", "a", 0),
        ("stop-and-cooldown", "a", 1),
        ("continue", "ab", 0),
        ("continue-and-cooldown", "ab", 1),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("never_rests", [True, False])
async def test_the_owner_may_say_what_an_error_means(
    action: str, asked: str, rests: int, status: int, never_rests: bool
) -> None:
    own = {"a": rule(action, status, "NO")}
    world = bottle(
        json_reply(REFUSED, status), GOOD, names="ab", own=own, config=Config(disable_cooling=never_rests)
    )
    if asked == "a":
        await refused(world)
    else:
        await attempt(world)
    assert "".join(world.hosts) == asked
    assert states(world) == rests


async def test_rules_of_a_provider_are_about_all_its_accounts() -> None:
    rules = {"p": (ScopedError(status=400, match=("no",), action="continue"),)}
    world = bottle(
        json_reply(REFUSED, 400), GOOD, names="ab", config=Config(oauth_request_scoped_errors=rules)
    )
    await attempt(world)
    assert world.hosts == ["a", "b"]


async def test_other_errors_are_treated_as_usual() -> None:
    world = bottle(json_reply(REFUSED, 400), names="ab", own={"a": rule("continue", 429)})
    assert (await refused(world)).status == 400
    assert world.hosts == ["a"]


async def test_errors_inside_an_answer_are_treated_as_well() -> None:
    inside = json_reply({"error": {"message": "no such thing", "code": 400}})
    world = bottle(inside, GOOD, names="ab", own={"a": rule("continue", 0, "such thing")})
    asked = chat(stream=False)
    await answer_exchange(asked, world.deps)
    assert world.hosts == ["a", "b"]


async def test_requests_wait_as_long_as_the_owner_says(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(*[GOOD] * 20, config=Config(request_delay="1.5,4"))
    times = []
    for _ in range(20):
        begin = trio.current_time()
        await attempt(world)
        times.append(trio.current_time() - begin)
    assert all(1.5 <= time <= 4 for time in times)
    assert len(set(times)) == 20


async def test_a_round_has_a_limit(autojump_clock: trio.testing.MockClock) -> None:
    silent = Reply(headers=GOOD.headers, body=(math.inf,))
    world = bottle(silent, GOOD, names="ab", config=Config(request_timeout=7, request_retry=1))
    await attempt(world)
    assert trio.current_time() == 7.0
    assert world.hosts == ["a", "b"]
    assert world.runtime.state(("a", "m")).kind is Kind.TIMEOUT
    assert world.upstreams.open_streams == 0


async def test_the_limit_of_a_round_is_told(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(Reply(body=(math.inf,)), names="ab", config=Config(request_timeout=7, request_retry=0))
    error = await refused(world)
    assert (error.kind, error.status) == (Kind.TIMEOUT, 504)
    assert "7 s" in error.message
    assert world.hosts == ["a"]


async def test_streams_have_no_limit_of_a_round(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(SLOWLY, config=Config(request_timeout=1))
    await attempt(world, chat(stream=True))
    assert trio.current_time() == 5.0


async def test_passing_failures_pause_for_as_long_as_the_owner_says() -> None:
    world = bottle(
        json_reply(REFUSED, 503), config=Config(request_retry=0, transient_error_cooldown_seconds=90)
    )
    assert (await refused(world)).retry_after == pytest.approx(94, abs=5)
    world = bottle(
        json_reply(REFUSED, 503), config=Config(request_retry=0, transient_error_cooldown_seconds=-1)
    )
    await refused(world)
    assert states(world) == 0
