"""The shared fixtures do what they promise."""

import os
import time
from pathlib import Path

import pytest
import trio

from conftest import pytest_terminal_summary
from support.faultrows import BEFORE, CLIENTS
from support.faults_table import name_of


def test_home_is_an_empty_directory() -> None:
    assert Path.home().is_dir()
    assert list(Path.home().iterdir()) == []


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GITLAB_TOKEN", "https_proxy", "HTTPS_PROXY", "NO_PROXY"])
def test_the_machine_s_settings_are_hidden(name: str) -> None:
    """The environment of this very run is checked: whatever the machine sets, no test sees it."""
    assert name not in os.environ


async def test_short_steps_are_no_complaint(blocking_detector, autojump_clock) -> None:
    await trio.sleep(60)
    assert blocking_detector.slow_steps == []


async def test_a_blocking_step_is_noted(blocking_detector) -> None:
    """A busy loop stands for a blocking call; the notes are emptied so that this test itself may pass."""
    until = time.perf_counter() + 2 * blocking_detector.longest_s
    while time.perf_counter() < until:
        pass
    await trio.lowlevel.checkpoint()
    [note] = blocking_detector.slow_steps
    assert "kept the event loop" in note
    blocking_detector.slow_steps.clear()


class Paper:
    """What the end of a run is written on."""

    def __init__(self, **stats: list[pytest.TestReport]) -> None:
        self.stats = stats
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def reported(name: str, outcome: str, **seen: str) -> pytest.TestReport:
    properties = list(seen.items())
    return pytest.TestReport(
        name,
        ("", 0, ""),
        {},
        outcome,
        None,
        "call",
        user_properties=properties,  # type: ignore[arg-type]
    )


def test_faults_that_were_played_are_shown_with_what_was_seen() -> None:
    refused, silent = BEFORE[0], BEFORE[3]
    place = "tests/e2e/test_faults.py::test_"
    paper = Paper(
        passed=[
            reported(f"{place}before_the_first_word[0]", "passed", fault=name_of(refused), stream="503"),
            reported(f"{place}who_is_asked_next[0]", "passed", fault=name_of(refused), asked="another"),
            reported(f"tests/{CLIENTS[0].test}[closes]", "passed"),
        ],
        failed=[reported(f"{place}before_the_first_word[3]", "failed", fault=name_of(silent))],
    )
    pytest_terminal_summary(paper)  # type: ignore[arg-type]
    shown = line_of(paper, refused.what)
    assert "+ 503" in shown
    assert "another" in shown
    assert "F" in line_of(paper, silent.what).removeprefix(silent.what)
    assert line_of(paper, CLIENTS[0].what).endswith("+")
    assert line_of(paper, CLIENTS[2].what).endswith(".")


def test_without_faults_there_is_no_table() -> None:
    paper = Paper(passed=[reported("tests/test_conftest.py::test_x", "passed")])
    pytest_terminal_summary(paper)  # type: ignore[arg-type]
    assert paper.lines == []


def line_of(paper: Paper, what: str) -> str:
    return next(line for line in paper.lines if line.startswith(what))
