"""Locks exclude tasks and processes, and outlive nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import Sequencer

from cliproxy.stores import locks
from cliproxy.stores.locks import Locks, take_now

HOLDER = """
import sys
from pathlib import Path
from cliproxy.stores.locks import take_now
assert take_now(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def made(tmp_path):
    return Locks(tmp_path / "locks", trio.CapacityLimiter(2))


async def test_one_task_at_a_time(made):
    sequence = Sequencer()
    order = []

    async def first():
        async with made.hold("a"):
            async with sequence(0):
                order.append("first in")
            async with sequence(2):
                order.append("first out")

    async def second():
        async with sequence(1):
            order.append("second waits")
        async with made.hold("a"):
            order.append("second in")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        nursery.start_soon(second)
    assert order == ["first in", "second waits", "first out", "second in"]


async def test_other_names_are_other_locks(made):
    async with made.hold("a"), made.hold("b"):
        assert made.directory.is_dir()


async def test_a_lock_is_free_again_after_an_error(made):
    with pytest.raises(ValueError, match="x"):
        async with made.hold("a"):
            raise ValueError("x")
    async with made.hold("a"):
        pass


async def test_waiting_for_another_holder_can_be_cancelled_and_can_succeed(made, autojump_clock):
    made.directory.mkdir()
    other = take_now(made.directory / "a.lock")
    with trio.move_on_after(3) as scope:
        async with made.hold("a"):
            pytest.fail("the lock is held elsewhere")
    assert scope.cancelled_caught
    entered = trio.Event()

    async def wait_for_it():
        async with made.hold("a"):
            entered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_it)
        await trio.sleep(2)
        assert not entered.is_set()
        os.close(other)
    assert entered.is_set()


async def test_without_a_place_for_lock_files_tasks_still_exclude_each_other(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    made = Locks(tmp_path / "file" / "locks", trio.CapacityLimiter(2))
    async with made.hold("a"):
        with trio.move_on_after(0) as scope:
            async with made.hold("a"):
                pytest.fail("a second holder")
        assert scope.cancelled_caught


def test_a_file_system_without_locks_is_not_an_error(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError("no locks here")

    monkeypatch.setattr(locks, "_lock_now", fail)
    assert take_now(tmp_path / "a.lock") is None


def test_another_process_holds_a_lock_until_it_is_killed(tmp_path):
    path = tmp_path / "a.lock"
    environment = {**os.environ, "PYTHONPATH": str(Path(locks.__file__).parents[2])}
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(locks._Busy):
            take_now(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        descriptor = take_now(path)
        assert descriptor is not None
        os.close(descriptor)
