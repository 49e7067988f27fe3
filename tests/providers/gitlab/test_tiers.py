"""What is found out about the ways of an account, and how it is said when there is none."""

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.steps import Now
from cliproxy.providers.gitlab.tiers import REST_WHAT, Tiers, find_text_endpoints, find_tiers
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

HOST = "https://gitlab.example.com"
ACCOUNT = Secret("glpat")
FORBIDDEN = answer(403, {"message": "403 Forbidden"})
BUSY = answer(503, {"message": "503 Unavailable"})


def post(path: str, reply: object) -> Beat:
    return Beat(Sends(method="POST", url=f"{HOST}/api/v4{path}", bearer="glpat"), reply)


def asked(agent: object, gateway: object) -> Tiers:
    script = [
        post("/ai/third_party_agents/direct_access", agent),
        *([Beat(Now(), 5.0)] if getattr(agent, "status", 0) == 201 else []),
        post("/code_suggestions/direct_access", gateway),
    ]
    return play(find_tiers(HOST, ACCOUNT), script)


GOOD_AGENT = answer(201, {"token": "A"})
GOOD_GATEWAY = answer(201, {"token": "G", "base_url": "https://gw/ai"})


def test_both_gateways_in_order_of_preference() -> None:
    tiers = asked(GOOD_AGENT, GOOD_GATEWAY)
    assert tiers.open == ["the agent platform", "the Code Suggestions gateway"]
    assert tiers.gateway is not None
    assert tiers.gateway.value == Secret("G")
    assert not tiers.missing


@pytest.mark.parametrize(
    ("agent", "gateway", "has_gateway", "closed"),
    [
        (GOOD_AGENT, FORBIDDEN, True, False),
        (FORBIDDEN, GOOD_GATEWAY, True, False),
        (FORBIDDEN, answer(404, {}), False, True),
        (answer(401, {}), FORBIDDEN, False, True),
        (FORBIDDEN, BUSY, False, False),
        (LoginError("cut off", code="unreachable"), FORBIDDEN, False, False),
        (answer(429, {}), FORBIDDEN, False, False),
    ],
)
def test_what_is_meant_and_what_may_pass(agent, gateway, has_gateway: bool, closed: bool) -> None:
    tiers = asked(agent, gateway)
    assert (tiers.has_gateway, tiers.are_closed) == (has_gateway, closed)


def test_a_missing_scope_is_about_the_token() -> None:
    narrow = answer(403, {"error": "insufficient_scope"})
    with pytest.raises(LoginError) as caught:
        play(find_tiers(HOST, ACCOUNT), [post("/ai/third_party_agents/direct_access", narrow)])
    assert caught.value.code == "missing_scope"


def text_endpoints(tiers: Tiers, code: object, chat: object = None) -> None:
    script = [post("/code_suggestions/completions", code)]
    script += [post("/chat/completions", chat)] if chat is not None else []
    play(find_text_endpoints(tiers, HOST, ACCOUNT), script)


def test_one_text_endpoint_is_enough() -> None:
    tiers = asked(FORBIDDEN, FORBIDDEN)
    text_endpoints(tiers, FORBIDDEN, answer(201, "Hello."))
    assert tiers.open == [REST_WHAT]
    assert REST_WHAT not in tiers.missing
    assert not tiers.has_gateway


def test_an_account_with_nothing_is_told_why_for_each_way_and_the_instance_once() -> None:
    with pytest.raises(LoginError) as caught:
        text_endpoints(asked(FORBIDDEN, FORBIDDEN), FORBIDDEN, FORBIDDEN)
    error = caught.value
    assert (error.code, error.status) == ("no_seat", 403)
    assert error.message.count(HOST) == 1
    for what in ("the agent platform", "the Code Suggestions gateway", "GitLab's text endpoints"):
        assert f"{what}: 403 Forbidden" in error.message


def test_trouble_is_not_taken_for_a_missing_seat() -> None:
    with pytest.raises(LoginError) as caught:
        text_endpoints(asked(FORBIDDEN, BUSY), FORBIDDEN, FORBIDDEN)
    assert caught.value.code == "unreachable"
