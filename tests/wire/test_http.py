"""Header lists: order kept, names compared without case, secrets masked."""

import pytest

from cliproxy.wire.http import Headers, HttpCall, http_date


def test_lookup_ignores_case_and_order_is_kept() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
    assert headers.get("a") == "1"
    assert headers.get_all("A") == ["1", "3"]
    assert headers.get("missing", "x") == "x"
    assert "B" in headers
    assert list(headers) == [("A", "1"), ("b", "2"), ("a", "3")]


def test_changes_make_copies() -> None:
    headers = Headers({"A": "1", "B": "2"})
    assert list(headers.with_field("a", "9")) == [("B", "2"), ("a", "9")]
    assert list(headers.without("b")) == [("A", "1")]
    assert list(headers.merged({"b": "3", "C": "4"})) == [("A", "1"), ("b", "3"), ("C", "4")]
    assert list(headers) == [("A", "1"), ("B", "2")]


def test_credentials_are_not_printed() -> None:
    call = HttpCall(
        method="POST", url="https://x.example/v1", headers=Headers({"Authorization": "Bearer abc"}), body=b"q"
    )
    assert "abc" not in repr(call)
    assert "b'q'" not in repr(call)


def test_equality_and_hash_follow_the_fields() -> None:
    assert Headers({"a": "1"}) == Headers([("a", "1")])
    assert len({Headers({"a": "1"}), Headers([("a", "1")])}) == 1


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1767225600.0),
        ("Thu, 01 Jan 2026 01:00:00 +0100", 1767225600.0),
        ("Thu, 01 Jan 2026 00:00:00 -0000", 1767225600.0),
        ("Thu, 01 Jan 2026", None),
        ("tomorrow", None),
        ("Mon, 99 Jan 2026 00:00:00 GMT", None),
        ("", None),
    ],
)
def test_dates_of_header_fields(spelled: str, seconds: float | None) -> None:
    assert http_date(spelled) == seconds
