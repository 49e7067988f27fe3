"""Log lines: shape and redaction."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from cliproxy.observe.logs import LONGEST, configure, redacted, request_id, set_debug
from support.logs import restored


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with restored():
        configure(debug=False, stream=stream)
        yield stream


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


def test_the_line_shape(output: io.StringIO) -> None:
    token = request_id.set("a1b2c3d4")
    logging.getLogger("cliproxy.x").warning("something key=%s", 1)
    request_id.reset(token)
    pattern = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[a1b2c3d4\] \[warn \] \[test_logs:\d+\] something key=1\n"
    assert re.fullmatch(pattern, output.getvalue())


def test_tracebacks_are_redacted_too(output: io.StringIO) -> None:
    try:
        raise ValueError("glpat-abcdefghij1234567890")
    except ValueError:
        logging.getLogger("cliproxy.x").exception("failed")
    assert "ValueError" in output.getvalue()
    assert "glpat-abc" not in output.getvalue()


def test_debug_lines_need_debug(output: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").debug("quiet")
    assert output.getvalue() == ""
    configure(debug=True, stream=output)
    logging.getLogger("cliproxy.x").debug("loud")
    assert "loud" in output.getvalue()


FORGED = "[2026-01-01 00:00:00] [deadbeef] [error] [app:1] forged"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_nothing_from_outside_can_look_like_a_line_of_its_own(output: io.StringIO, end: str) -> None:
    logging.getLogger("cliproxy.x").warning("model=%s", f"evil{end}{FORGED}")
    assert len(output.getvalue().splitlines()) == 1


def test_nor_can_the_message_of_an_exception(output: io.StringIO) -> None:
    try:
        raise ValueError(f"evil\n{FORGED}")
    except ValueError:
        logging.getLogger("cliproxy.x").exception("failed")
    first, *others = output.getvalue().splitlines()
    assert first.endswith("failed")
    assert FORGED in others[-1]
    assert all(line.startswith("  ") for line in others)


def test_control_characters_do_not_reach_a_terminal(output: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").warning("model=%s", "\x1b[31mred\x9b\x00\ud800")
    assert r"model=\x1b[31mred\x9b\x00\ud800" in output.getvalue()


def test_a_line_has_a_longest_length(output: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").warning("model=%s", "x" * 200_000)
    assert len(output.getvalue()) < LONGEST + 200
    assert "(200006 characters)" in output.getvalue()


def test_more_can_be_said_and_less_again(output: io.StringIO) -> None:
    log = logging.getLogger("cliproxy.x")
    set_debug(debug=True)
    log.debug("first")
    set_debug(debug=False)
    log.debug("second")
    assert "first" in output.getvalue()
    assert "second" not in output.getvalue()
