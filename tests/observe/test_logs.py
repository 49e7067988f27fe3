"""What is never in the log."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.observe.logs import LONGEST, one_line, redacted


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-REDACTED",
        "glpat-abcdefghij1234567890",
        "AIzaSyA-1234567890abcdefghijklmnopqrstu",
        "ya29.a0AfH6SMBabcdefghij",
        "ghu_abcdefghij1234567890abcd",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_whatever_looks_like_a_token_is_masked(secret: str) -> None:
    assert secret not in redacted(f"upstream said: bad token {secret}!")


def test_bearer_values_are_masked_whatever_they_look_like() -> None:
    assert redacted("Authorization: Bearer abcdefgh12345678") == "Authorization: Bearer ***"


PIECES = [
    *(
        "sk-",
        "pk-x",
        "glpat-",
        "AIza",
        "ya29.",
        "ghp_",
        "eyJ",
        "Bearer ",
        "bearer",
        "-",
        "_",
        ".",
        " ",
        "***",
        "a",
    ),
    *("abcdefghij", "0123456789_-", "sk-abcdefghijkl", "eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0.c2ln"),
]
OBVIOUS = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk)-[\w\-]{12,}|glpat-[\w\-.]{10,}|AIza[\w\-]{20,}|ya29\.[\w\-.]{10,}"
    r"|gh[opsu]_[A-Za-z0-9]{20,}|eyJ[\w\-]{10,}\.[\w\-]{10,}\.)|[Bb]earer [\w\-.=+/]{8,}"
)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_nothing_that_looks_like_a_token_is_left_however_it_is_put_together(text: str) -> None:
    shown = redacted(text)
    assert not OBVIOUS.search(shown)
    assert redacted(shown) == shown
    if not OBVIOUS.search(text):
        assert shown == text


@pytest.mark.parametrize(
    "before",
    ["ghp_abcdefghij0123456789-", "ghp_abcdefghij0123456789_sk-", "Bearer ghp_", "Bearer abc-", "x_"],
)
@pytest.mark.parametrize("after", ["", ".", "/more+of=it"])
def test_a_token_of_three_words_is_masked_whatever_it_is_a_part_of(before: str, after: str) -> None:
    shown = redacted(f"{before}eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl{after}")
    assert "eyJ" not in shown
    assert shown in ("***", f"***{after}", "Bearer ***")


def test_a_text_of_beginnings_takes_no_time() -> None:
    """Looking from each of them to the end would take an hour."""
    text = "-eyJabcdefghijk" * 500_000
    assert redacted(text) == text


def test_ordinary_text_is_left_alone() -> None:
    text = "model claude-sonnet-4-5 served by gitlab in 12 ms; task-list and disk-usage fine"
    assert redacted(text) == text


def test_a_text_is_cut_where_it_is_too_long() -> None:
    assert len(one_line("x" * 200_000)) < LONGEST + 50
    assert one_line("x" * 200_000).endswith("(200000 characters)")


def test_control_characters_are_written_as_escapes() -> None:
    assert one_line("a\r\n\x1b[31m\x9b\u2028\ud800") == r"a\r\n\x1b[31m\x9b\u2028\ud800"
