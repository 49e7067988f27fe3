"""One try at one contract: tokens, limits, the owner's delay."""

import pytest

from cliproxy.config.groups import Timeouts
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import Kind, LoginError
from cliproxy.wire.secret import Secret
from support.exchange import (
    REFUSED,
    WHOLE,
    Bottle,
    FakeContract,
    FakeTokens,
    attempt,
    bottle,
    json_reply,
    refused,
)

GOOD = json_reply(WHOLE)


def states(world: Bottle) -> int:
    return world.runtime.statistics()["states"]


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_refused_token_is_renewed_once() -> None:
    world = bottle(json_reply(REFUSED, 401), GOOD, names="ab")
    await attempt(world)
    assert world.hosts == ["a", "a"]
    assert world.tokens.renewals == [("a", 0)]
    sent = [call.headers.get("authorization") for call in world.upstreams.calls]
    assert sent == ["Bearer a-account-0", "Bearer a-account-1"]
    assert states(world) == 0


async def test_a_token_refused_twice_counts_against_the_credential() -> None:
    world = bottle(json_reply(REFUSED, 401), json_reply(REFUSED, 401), GOOD, names="ab")
    await attempt(world)
    assert world.hosts == ["a", "a", "b"]
    assert states(world) == 1


async def test_without_a_renewal_the_refusal_is_what_the_client_sees() -> None:
    world = bottle(json_reply(REFUSED, 401), tokens=FakeTokens(can_renew=False))
    assert (await refused(world)).status == 401


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("expired", 401, Kind.AUTHENTICATION),
        ("no_seat", 403, Kind.PERMISSION),
        ("rate_limited", 429, Kind.RATE_LIMIT),
    ],
)
async def test_a_renewal_that_explains_the_refusal_is_what_the_client_sees(
    code: str, status: int, kind: Kind
) -> None:
    class Explaining(FakeTokens):
        async def refresh(self, wanted: Credential, slot: TokenSlot, failed_version: int) -> Token:
            await self.step()
            raise LoginError("the token was revoked", code=code, hint="Log in again.", status=400)

    error = await refused(bottle(json_reply(REFUSED, 401), tokens=Explaining()))
    assert (error.status, error.kind) == (status, kind)
    assert "the token was revoked. Log in again." in error.message


async def test_a_contract_without_a_token_renews_nothing() -> None:
    world = bottle(json_reply(REFUSED, 401), contracts=(FakeContract(needs=None),))
    assert (await refused(world)).status == 401
    assert world.tokens.renewals == []
    assert world.upstreams.calls[0].headers.get("authorization") == "Bearer -"


async def test_a_token_that_cannot_be_had_is_a_failed_attempt() -> None:
    world = bottle(tokens=FakeTokens(failure=LoginError("log in again", code="invalid_grant")))
    error = await refused(world)
    assert error.kind is Kind.AUTHENTICATION
    assert "log in again" in error.message
    assert world.hosts == []


async def test_limits_of_the_configuration_travel_with_the_call() -> None:
    times = Timeouts(connect_seconds=1, first_byte_seconds=2, idle_seconds=3, total_seconds=4)
    world = bottle(GOOD, config=Config(timeouts=times), proxy_url=Secret("http://proxy"))
    await attempt(world)
    [call] = world.upstreams.calls
    assert (call.limits.connect, call.limits.first_byte, call.limits.idle, call.limits.total) == (1, 2, 3, 4)
    assert call.proxy_url == Secret("http://proxy")


@pytest.mark.parametrize(
    ("own", "everybodys", "used"),
    [
        (None, "", None),
        (None, "http://global", Secret("http://global")),
        (Secret("direct"), "http://global", Secret("direct")),
    ],
)
async def test_a_call_names_its_proxy(own: Secret | None, everybodys: str, used: Secret | None) -> None:
    """Also everybody's: what it was told is nobody else's business."""
    world = bottle(GOOD, config=Config(proxy_url=Secret(everybodys)), proxy_url=own)
    await attempt(world)
    [call] = world.upstreams.calls
    assert call.proxy_url == used
