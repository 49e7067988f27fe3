"""Rotating refresh tokens where they get lost: between processes, and between the vendor and the disk.

The processes are real, share one directory of credentials, and talk over TLS to an emulated vendor that takes
every refresh token once and ends the login of whoever uses one twice.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
import trio

from support.accounts import Accounts
from support.emulator import TESTS
from support.renewer import NAME, Left, log_in
from support.server import ROOT

LIMIT_S = 60
SOAK_S = float(os.environ.get("CLIPROXY_TEST_SOAK_S", "120"))


@pytest.fixture
def world(world: Accounts) -> Accounts:
    world.configure(qwen={"oauth": {"pending": 0}})
    world.write_config()
    renew_login(world)
    return world


def renew_login(world: Accounts) -> None:
    log_in(world.directory, world.proxy, str(world.authority))


def start(world: Accounts, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "support.renewer", *arguments],
        cwd=world.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=world.variables(PYTHONPATH=f"{ROOT}{os.pathsep}{TESTS}"),
    )


def said(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """What a process has printed until its end; the log is among it."""
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode in {0, -signal.SIGKILL}, output
    return [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The last thing that a process says."""
    return said(process)[-1]


def vendors_token(world: Accounts) -> str:
    """The one refresh token that the vendor would take."""
    return trio.run(world.emulator.state)["qwen"]["oauth"]["logins"][-1]["refresh"]


def test_two_processes_renew_one_rotating_token_two_hundred_times(world: Accounts) -> None:
    processes = [start(world, "renew", "100") for _ in range(2)]
    done = [result(process) for process in processes]
    assert [each["own"] for each in done] == [100, 100], done
    assert sum(each["taken_over"] for each in done) > 0, "they were in each other's way"
    assert world.refusals() == []
    left = Left.of(world.directory)
    assert left.is_whole
    assert left.refresh_token == vendors_token(world)
    assert world.files() == [NAME]


def test_a_process_that_is_killed_anywhere_in_a_renewal_harms_nobody_else(world: Accounts) -> None:
    """The file is whole, the lock is free, and the next process gets on with it, unless the vendor's answer
    died with the process: then it is told to log in again."""
    lines = said(start(world, "points", world.proxy))
    assert len(lines) > 10
    assert all(line["is_whole"] for line in lines), lines
    for line in lines[:-1]:
        assert line["place"], "it was killed somewhere"
        if line["error"]:
            assert line["error"] == "invalid_grant"
            assert line["reason"].endswith("The login has ended or was used elsewhere: log in again.")
            assert not line["is_new"]
        else:
            assert line["own"] == 1
    places = [line["place"].partition(" ")[0] for line in lines]
    lost = [number for number, line in enumerate(lines) if line["error"]]
    assert lost == list(range(places.index("socket.connect") + 1, places.index("os.rename") + 1)), lines
    assert not lines[-1]["place"]
    assert lines[-1]["own"] == 1


@pytest.mark.parametrize("fault", ["close_before_head", "half_event_fin"])
def test_an_answer_that_is_lost_on_its_way_ends_in_a_clear_word(world: Accounts, fault: str) -> None:
    """The vendor has rotated the token and nobody has the new one. The first attempt cannot know that."""
    before = Left.of(world.directory)
    world.script({"when": {"path": "/oauth2/token"}, "fault": fault})
    first, second = result(start(world, "renew", "1")), result(start(world, "renew", "1"))
    assert first["error"] in {"unreachable", "refused", "bad_answer"}, first
    assert Left.of(world.directory) == before, "the file is as it was"
    assert second["error"] == "invalid_grant"
    assert second["reason"].endswith("log in again.")


@pytest.mark.soak
def test_processes_that_are_killed_all_the_time_lose_nothing_but_answers_on_their_way(
    world: Accounts,
) -> None:
    """Minutes of three processes at one token, one of them killed all the time."""
    rng = random.Random(11)
    tally: Counter[str] = Counter()
    processes = [start(world, "renew", "1000000") for _ in range(3)]
    end = time.monotonic() + SOAK_S
    try:
        while time.monotonic() < end:
            victim = rng.choice(processes)
            assert victim.stdout is not None
            heard = [victim.stdout.readline() for _ in range(rng.randint(1, 30))]
            victim.send_signal(signal.SIGKILL)
            heard += victim.communicate()[0].splitlines()
            assert Left.of(world.directory).is_whole
            tally["renewals"] += sum('"token"' in line for line in heard)
            told = [line for line in heard if '"reason"' in line]
            if not told:
                tally["killed"] += 1
            else:
                assert json.loads(told[0])["error"] == "invalid_grant", heard
                tally["told to log in again"] += 1
                renew_login(world)
            processes[processes.index(victim)] = start(world, "renew", "1000000")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    renew_login(world)
    assert result(start(world, "renew", "10"))["own"] == 10, "the lock is free"
    assert Left.of(world.directory).refresh_token == vendors_token(world)
    assert tally["killed"] > SOAK_S / 10
    print(f"\nrenewals under kill -9 for {SOAK_S:.0f} s:", dict(tally))
