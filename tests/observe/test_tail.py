"""The last lines, bounded."""

import pytest

from cliproxy.observe.tail import Tail


def filled(count: int, **bounds: int) -> Tail:
    tail = Tail(**bounds)
    for number in range(1, count + 1):
        tail.add(f"line {number}")
    return tail


def test_only_the_last_ones_are_kept() -> None:
    tail = filled(10, most_lines=3)
    assert tail.since() == ["line 8", "line 9", "line 10"]
    assert tail.count == 10


def test_what_is_new_since_a_number() -> None:
    tail = filled(10)
    assert tail.since(8) == ["line 9", "line 10"]
    assert tail.since(10) == tail.since(11) == []
    assert tail.since(0, most=1) == ["line 10"]


def test_characters_are_bounded_too_but_for_one_line() -> None:
    tail = Tail(most_characters=10)
    for line in ("aaaa", "bbbb", "cccc"):
        tail.add(line)
    assert tail.since() == ["bbbb", "cccc"]
    tail.add("d" * 100)
    assert tail.since() == ["d" * 100]


@pytest.mark.parametrize("after", [0, 2, 3])
def test_cleared_lines_do_not_come_back_and_numbers_go_on(after: int) -> None:
    tail = filled(3)
    tail.clear()
    assert tail.since(after) == []
    tail.add("next")
    assert tail.since(3) == ["next"]
    assert tail.count == 4
