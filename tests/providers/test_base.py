"""What all providers share: the owner's own headers."""

from attrs import evolve

from cliproxy.dialects.base import Action
from cliproxy.providers.base import Call, own_headers
from support.routes import credential


def call(headers: dict[str, str], **settings: object) -> Call:
    made = Call(
        credential=credential(headers=headers),
        token=None,
        model="m",
        action=Action.GENERATE,
        body=b"{}",
        stream=False,
        client_headers={"x-session": "s-1", "x-blank": " "},
    )
    return evolve(made, **settings)


def test_fixed_values_are_sent_as_they_are() -> None:
    assert own_headers(call({"X-Team": " blue ", " X-Plan": "pro"})) == {"X-Team": "blue", "X-Plan": "pro"}


def test_a_dollar_copies_the_clients_header_of_that_name() -> None:
    assert own_headers(call({"X-Upstream-Session": "$X-Session"})) == {"X-Upstream-Session": "s-1"}


def test_what_the_client_did_not_send_is_left_out() -> None:
    assert own_headers(call({"A": "$X-Missing", "B": "$X-Blank", "C": "", "": "x"})) == {}


def test_who_we_say_we_are_can_be_replaced_by_the_owner() -> None:
    assert own_headers(call({}, user_agent="cliproxy/1")) == {"User-Agent": "cliproxy/1"}
    assert own_headers(call({"User-Agent": "x/2"}, user_agent="cliproxy/1")) == {"User-Agent": "x/2"}
