"""Text from elsewhere is harmless on a terminal, and shows no keys."""

import os
import subprocess
import sys

import pytest

from cliproxy.cli.output import complain, complain_about, leaves, say
from cliproxy.errors import ConfigError, Problem, StoreError

KEY = "sk-live-0123456789abcdef0123"


def test_lines_stay_lines_and_nothing_else_gets_through(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"one\ntwo \x1b[31mred\x07 {KEY}\r\n")
    assert capsys.readouterr().out == "one\ntwo \\x1b[31mred\\x07 ***\\r\n\n"


def test_complaints_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"refused: Bearer {KEY}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cliproxy: refused: ")
    assert KEY not in captured.err


def test_every_reason_of_a_group_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    config = ConfigError("c.yaml", [Problem("bad", "port", 3), Problem("worse", "host")])
    inner = ExceptionGroup("", [config, StoreError("no disk")])
    group = ExceptionGroup("", [inner, StoreError("no disk")])
    assert len(list(leaves(group))) == 3
    complain_about(group)
    assert capsys.readouterr().err.splitlines() == [
        "cliproxy: c.yaml: line 3: port: bad",
        "c.yaml: host: worse",
        "cliproxy: no disk",
    ]


def test_a_reader_that_has_had_enough_does_not_stop_the_work() -> None:
    """``cliproxy check | head -1``: what is said to a closed pipe is lost, and nothing else."""
    program = (
        "from cliproxy.cli.output import say\nfor number in range(3): say(str(number))\nraise SystemExit(7)"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=closed, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (ended.returncode, ended.stderr) == (7, b"")
