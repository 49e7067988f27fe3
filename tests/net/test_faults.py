"""The wording of failures."""

import pytest

from cliproxy.errors import Kind
from cliproxy.net.faults import CONNECT_FAILED, PROXY_FAILED, no_answer, transport_error


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (None, "h: the connection failed"),
        (OSError("refused"), "h: the connection failed (refused)"),
        (OSError(""), "h: the connection failed"),
        (OSError("refused\nand more"), "h: the connection failed (refused)"),
        (OSError("no way to http://user:password@proxy"), "h: the connection failed"),
    ],
)
def test_of_a_cause_only_what_is_short_and_names_no_address_is_quoted(
    cause: Exception | None, message: str
) -> None:
    error = transport_error("h", CONNECT_FAILED, cause)
    assert (error.message, error.kind, error.phase) == (message, Kind.UNAVAILABLE, "connect")


def test_an_error_that_only_passes_on_another_is_quoted_by_it() -> None:
    outer = OSError()
    outer.__cause__ = ValueError("certificate verify failed")
    assert "(certificate verify failed)" in transport_error("h", CONNECT_FAILED, outer).message


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("407 no entry for u:password", "(407 Proxy Authentication Required)"),
        ("502 ", "(502 Bad Gateway)"),
        ("999 password", "(999)"),
        ("Invalid username/password", "(Invalid username/password)"),
    ],
)
def test_a_proxy_is_not_quoted_but_for_its_status(said: str, shown: str) -> None:
    """The last one are words of the library's own."""
    assert transport_error("h", PROXY_FAILED, OSError(said)).message.endswith(f"failed {shown}")


def test_a_head_that_does_not_come_names_the_limit() -> None:
    assert no_answer("h", 2.0).message == "h: no answer within 2 s"
