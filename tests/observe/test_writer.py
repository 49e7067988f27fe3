"""Work in a thread: in order, bounded, finished at the end."""

import logging
import threading
from functools import partial

import pytest

from cliproxy.observe.writer import Writer


def test_work_is_done_in_order_and_before_the_end() -> None:
    done: list[int] = []
    threads: set[int] = set()

    def note(number: int) -> None:
        done.append(number)
        threads.add(threading.get_ident())

    writer = Writer()
    for number in range(100):
        assert writer.submit(partial(note, number))
    assert writer.close(10)
    assert done == list(range(100))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_waits_is_bounded_and_made_room_for_again() -> None:
    gate, began = threading.Event(), threading.Event()
    writer = Writer(most_bytes=10)

    def wait() -> None:
        began.set()
        gate.wait(10)

    assert writer.submit(wait, 6)
    began.wait(10)
    assert not writer.submit(wait, 6)
    assert writer.submit(wait, 4)
    assert writer.waiting_bytes == 10
    gate.set()
    assert writer.close(10)
    assert writer.waiting_bytes == 0


def test_a_failure_is_nobody_elses_business(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail() -> None:
        raise ValueError("x")

    writer = Writer()
    writer.submit(fail)
    writer.submit(done.set)
    assert writer.close(10)
    assert done.is_set()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_closed_writer_takes_nothing_and_an_unused_one_has_no_thread() -> None:
    writer = Writer()
    assert writer.close(0)
    assert not writer.submit(lambda: None)
    assert writer._thread is None


def test_nobody_waits_for_a_disk_that_hangs() -> None:
    gate = threading.Event()
    writer = Writer()
    writer.submit(lambda: gate.wait(10) and None)
    assert not writer.close(0.01)
    gate.set()
    assert writer.close(10)
