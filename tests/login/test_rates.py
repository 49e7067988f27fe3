from hypothesis import given
from hypothesis import strategies as st

from cliproxy.login.rates import RateRule, still_counting, wait_for

RULES = (RateRule(2, 10.0), RateRule(3, 60.0))


def test_calls_within_the_count_are_allowed_at_once() -> None:
    assert wait_for(RULES, [], 100.0) == 0.0
    assert wait_for(RULES, [99.0], 100.0) == 0.0


def test_the_wait_ends_when_the_oldest_counting_call_leaves_the_window() -> None:
    assert wait_for(RULES, [95.0, 99.0], 100.0) == 5.0


def test_the_strictest_rule_decides() -> None:
    assert wait_for(RULES, [50.0, 60.0, 70.0], 100.0) == 10.0


def test_no_rules_no_wait() -> None:
    assert wait_for((), [1.0] * 1000, 1.0) == 0.0


def test_the_record_forgets_what_no_rule_counts_any_more() -> None:
    assert still_counting(RULES, [1.0, 41.0, 99.0], 100.0) == [41.0, 99.0]


@given(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=60))
def test_whoever_waits_as_told_never_breaks_a_rule(gaps: list[float]) -> None:
    sent: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        now += wait_for(RULES, sent, now)
        sent.append(now)
    for rule in RULES:
        for moment in sent:
            within = [other for other in sent if moment - rule.seconds + 1e-6 < other <= moment]
            assert len(within) <= rule.count
