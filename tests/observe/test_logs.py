"""What is never in the log."""

import pytest

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


def test_ordinary_text_is_left_alone() -> None:
    text = "model claude-sonnet-4-5 served by gitlab in 12 ms; task-list and disk-usage fine"
    assert redacted(text) == text


def test_a_text_is_cut_where_it_is_too_long() -> None:
    assert len(one_line("x" * 200_000)) < LONGEST + 50
    assert one_line("x" * 200_000).endswith("(200000 characters)")


def test_control_characters_are_written_as_escapes() -> None:
    assert one_line("a\r\n\x1b[31m\x9b\u2028\ud800") == r"a\r\n\x1b[31m\x9b\u2028\ud800"
