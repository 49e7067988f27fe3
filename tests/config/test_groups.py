"""The fixed groups: defaults and accepted words."""

import pytest

from cliproxy.config.groups import FILL_FIRST, ROUND_ROBIN, STRATEGIES, Limits, Routing, Streaming, Timeouts


def test_limits_are_bounded_by_default():
    assert (Limits().body_mb, Limits().header_kb, Limits().event_mb, Limits().answer_mb) == (64, 64, 16, 64)


def test_clients_are_bounded_by_default():
    assert (Limits().connections, Limits().header_count, Timeouts().header_seconds) == (4096, 256, 30)


def test_waiting_is_bounded_by_default_and_a_whole_answer_is_not():
    times = Timeouts()
    assert (times.connect_seconds, times.first_byte_seconds, times.idle_seconds) == (10, 300, 300)
    assert times.total_seconds == 0
    assert times.drain_seconds == 30


def test_streams_show_signs_of_life_by_default():
    assert Streaming().keepalive_seconds == 15


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("rr", ROUND_ROBIN), ("roundrobin", ROUND_ROBIN), ("ff", FILL_FIRST), ("fillfirst", FILL_FIRST)],
)
def test_strategies_have_short_names(word, meaning):
    assert STRATEGIES[word] == meaning


def test_the_default_strategy_is_a_known_one():
    assert Routing().strategy in STRATEGIES.values()
