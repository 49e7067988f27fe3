"""Lines of the log, for people and for programs."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cliproxy.observe.lines import Facts
from cliproxy.observe.logs import LONGEST, request_id
from cliproxy.observe.output import configure
from support.logs import restored

SECRET = "glpat-abcdefghij1234567890"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with restored():
        configure(debug=False, stream=stream)
        yield stream


@pytest.fixture
def programs() -> Iterator[io.StringIO]:
    """Output in JSON."""
    stream = io.StringIO()
    with restored():
        configure(debug=False, stream=stream, form="json")
        yield stream


def only(programs: io.StringIO) -> dict[str, Any]:
    [line] = programs.getvalue().splitlines()
    return json.loads(line)


def test_the_line_shape(output: io.StringIO) -> None:
    token = request_id.set("a1b2c3d4")
    logging.getLogger("cliproxy.x").warning("something key=%s", 1)
    request_id.reset(token)
    pattern = (
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[a1b2c3d4\] \[warn \] \[test_lines:\d+\] something key=1\n"
    )
    assert re.fullmatch(pattern, output.getvalue())


def test_tracebacks_are_redacted_too(output: io.StringIO) -> None:
    try:
        raise ValueError("glpat-abcdefghij1234567890")
    except ValueError:
        logging.getLogger("cliproxy.x").exception("failed")
    assert "ValueError" in output.getvalue()
    assert "glpat-abc" not in output.getvalue()


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


def test_facts_read_as_names_and_values(output: io.StringIO) -> None:
    facts = Facts("tea", {"kind": "green", "sugar": None, "hot": True, "cups": 2, "said": 'a "b" c', "e": ""})
    logging.getLogger("cliproxy.x").info(facts)
    assert output.getvalue().endswith(r"""tea kind=green sugar=- hot=1 cups=2 said="a \"b\" c" e=""
""")


def test_facts_may_have_words_of_their_own(output: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").info(Facts("tea", {"cups": 2}, "two cups of tea"))
    assert output.getvalue().endswith(" two cups of tea\n")


def test_a_line_for_programs_is_an_object(programs: io.StringIO) -> None:
    token = request_id.set("a1b2c3d4")
    logging.getLogger("cliproxy.x").warning("something key=%s", 1)
    request_id.reset(token)
    line = only(programs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert re.fullmatch(r"test_lines:\d+", line.pop("source"))
    assert line == {"level": "warn", "id": "a1b2c3d4", "message": "something key=1"}


def test_facts_are_members_of_it(programs: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").info(Facts("tea", {"cups": 2, "said": f"Bearer {SECRET}\n"}, "words"))
    line = only(programs)
    assert (line["event"], line["cups"], line["said"]) == ("tea", 2, r"Bearer ***\n")
    assert "message" not in line


@pytest.mark.parametrize("prefix", ["", "\n", "\t", '"', "é", "\\"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_in_front_of_a_secret_hides_it(prefix: str, form: str) -> None:
    """An escape ends in a letter, which makes a word of what follows."""
    stream = io.StringIO()
    with restored():
        configure(debug=False, stream=stream, form=form)
        logging.getLogger("cliproxy.x").info(Facts("tea", {"said": f"a {prefix}{SECRET}"}))
        logging.getLogger("cliproxy.x").info("said %s", f"{prefix}{SECRET}")
    assert "abcdefghij" not in stream.getvalue()


def test_tracebacks_are_lines_of_the_object(programs: io.StringIO) -> None:
    try:
        raise ValueError(f"{SECRET}\nforged")
    except ValueError:
        logging.getLogger("cliproxy.x").exception("failed")
    line = only(programs)
    assert line["message"] == "failed"
    assert line["trace"][0].startswith("Traceback")
    assert any("ValueError: ***" in each for each in line["trace"])
