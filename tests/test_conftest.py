"""The shared fixtures do what they promise."""

import os
import time
from pathlib import Path

import pytest
import trio


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
