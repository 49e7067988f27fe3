"""Figures: counting, bounds, and a text that the format's own parser reads back."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from cliproxy.observe.metrics import (
    OTHER,
    Counts,
    Family,
    Spread,
    Spreads,
    counter,
    exposition,
    gauge,
    gauges,
    histogram,
)

BOUNDS = (0.5, 1.0, 5.0)


def samples(*families: Family) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a monitoring system reads, without the figures of the process."""
    content_type, text = exposition(families)
    assert content_type.startswith("text/plain; version=")
    found = (sample for family in parse(text.decode()) for sample in family.samples)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in found
        if not sample.name.startswith("process_")
    }


def test_sums_are_counters_and_levels_are_gauges() -> None:
    counts = Counts()
    counts.add(("a", "b"))
    counts.add(("a", "b"), 2)
    level = gauges("level", "Now.", ("x",), {("p",): 7})
    assert samples(
        counter("things", "So far.", ("x", "y"), counts.values), level, gauge("up", "Is.", True)
    ) == {
        ("things_total", frozenset({("x", "a"), ("y", "b")})): 3,
        ("level", frozenset({("x", "p")})): 7,
        ("up", frozenset()): 1,
    }


@given(values=st.lists(st.floats(0, 1000)))
def test_a_spread_counts_every_value_once(values: list[float]) -> None:
    spread = Spread(BOUNDS)
    for value in values:
        spread.add(value)
    assert sum(spread.counts) == len(values)
    assert spread.total == pytest.approx(sum(values))
    for index, bound in enumerate(BOUNDS):
        assert sum(spread.counts[: index + 1]) == sum(value <= bound for value in values)


def test_ranges_of_a_histogram_include_the_ones_below() -> None:
    spreads = Spreads(BOUNDS)
    for value in (0.1, 0.5, 2.0, 9.0):
        spreads.add(("p",), value)
    found = samples(histogram("wait_seconds", "How long.", ("x",), spreads))
    by_end = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name == "wait_seconds_bucket"
    }
    assert by_end == {"0.5": 2, "1.0": 2, "5.0": 3, "+Inf": 4}
    assert found["wait_seconds_sum", frozenset({("x", "p")})] == pytest.approx(11.6)
    assert found["wait_seconds_count", frozenset({("x", "p")})] == 4


def test_a_picture_does_not_change_with_what_comes_later() -> None:
    spreads, counts = Spreads(BOUNDS), Counts()
    spreads.add((), 1)
    counts.add(())
    families = (histogram("h", "H.", (), spreads), counter("c", "C.", (), counts.values))
    before = samples(*families)
    spreads.add((), 1)
    counts.add(())
    assert samples(*families) == before


def test_there_are_only_so_many_labels() -> None:
    counts, spreads = Counts(most=2), Spreads(BOUNDS, most=2)
    for name in ("a", "b", "c", "d", "a"):
        counts.add((name, "x"))
        spreads.add((name, "x"), 1.0)
    assert counts.values == {("a", "x"): 2, ("b", "x"): 1, (OTHER, OTHER): 2}
    assert {labels: sum(each.counts) for labels, each in spreads.values.items()} == counts.values


@given(
    label=st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"))
)
def test_no_label_breaks_the_format(label: str) -> None:
    assert samples(gauges("level", "Now.", ("x",), {(label,): 1})) == {
        ("level", frozenset({("x", label)})): 1
    }


def test_the_other_spelling_is_given_to_who_asks_for_it() -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    content_type, text = exposition([counter("things", "So far.", (), {(): 1})], accept)
    assert content_type.startswith("application/openmetrics-text")
    names = [family.name for family in parse_openmetrics(text.decode())]
    assert "things" in names


def test_the_process_is_shown_too() -> None:
    _, text = exposition([])
    found = {family.name: family.samples[0].value for family in parse(text.decode())}
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_open_fds"] > 0
    assert found["process_start_time_seconds"] > 0


def test_nobody_who_does_not_ask_imports_the_library() -> None:
    code = "import sys, cliproxy.cli.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
