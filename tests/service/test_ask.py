"""Questions in the name of an account: once, and once more with a renewed token if it was refused."""

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from attrs import define, field

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow, Note, Send
from cliproxy.service.ask import ask
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.secret import Secret
from support.routes import credential

SLOT = TokenSlot.ACCOUNT


@define
class Vendor:
    """Takes one token and refuses the others."""

    good: str = ""
    seen: list[str] = field(factory=list)

    async def fetch(self, call: HttpCall) -> HttpAnswer:
        self.seen.append(call.headers.get("authorization"))
        return HttpAnswer(status=200 if self.good in ("", self.seen[-1]) else 401)


@define
class Tokens:
    """Hands out ``old`` and renews it to ``new``."""

    failure: LoginError | None = None
    refused: list[int] = field(factory=list)

    async def ensure_fresh(self, _credential: Credential, _slot: TokenSlot) -> Token:
        return Token(value=Secret("old"), version=3)

    async def refresh(self, _credential: Credential, _slot: TokenSlot, failed_version: int) -> Token:
        self.refused.append(failed_version)
        if self.failure is not None:
            raise self.failure
        return Token(value=Secret("new"), version=4)


def question(code: str = "expired"):
    def flow(_credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[str]:
        yield Note("asking")
        token = tokens[SLOT].value.reveal() if tokens else ""
        answer = yield Send(
            HttpCall(method="GET", url="https://x.example/", headers=Headers({"Authorization": token}))
        )
        if answer.status != 200:
            raise LoginError("refused", code=code)
        return f"answered {token}"

    return flow


async def asked(
    vendor: Vendor, tokens: Tokens, code: str = "expired", slot: TokenSlot | None = SLOT
) -> tuple[str, list[str]]:
    notes: list[str] = []
    service = SimpleNamespace(upstreams=vendor, tokens=tokens)
    return await ask(service, credential("a"), question(code), slot, notes.append), notes


async def test_a_question_gets_the_accounts_token() -> None:
    vendor, tokens = Vendor(), Tokens()
    assert await asked(vendor, tokens) == ("answered old", ["asking"])
    assert tokens.refused == []


async def test_a_question_may_need_no_token() -> None:
    assert await asked(Vendor(), Tokens(), slot=None) == ("answered ", ["asking"])


async def test_a_token_refused_before_its_time_is_renewed_once() -> None:
    vendor, tokens = Vendor(good="new"), Tokens()
    assert (await asked(vendor, tokens))[0] == "answered new"
    assert (vendor.seen, tokens.refused) == (["old", "new"], [3])


async def test_a_renewed_token_that_is_refused_too_is_the_end() -> None:
    vendor = Vendor(good="another")
    with pytest.raises(LoginError, match="refused"):
        await asked(vendor, Tokens())
    assert vendor.seen == ["old", "new"]


async def test_what_the_renewal_says_is_what_the_owner_hears() -> None:
    failure = LoginError("log in again", code="invalid_grant")
    with pytest.raises(LoginError, match="log in again"):
        await asked(Vendor(good="another"), Tokens(failure))


async def test_other_failures_renew_nothing() -> None:
    tokens = Tokens()
    with pytest.raises(LoginError, match="refused"):
        await asked(Vendor(good="another"), tokens, code="no_seat")
    assert tokens.refused == []
