"""The owner's payload rules: which requests they are about, and what they make of them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.entries import PAYLOAD_PROTOCOLS
from cliproxy.config.load import examine
from cliproxy.dialects import DIALECTS, by_id
from cliproxy.dialects.base import RuleForm
from cliproxy.exchange.payload import Occasion, Rules, compiled, is_like
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text


def rules_of(text: str) -> Rules:
    """Understand rules as they stand in a file, below ``payload``."""
    examined = examine(f"payload:\n{text}")
    assert (examined.warnings, examined.errors, examined.unknown) == ((), (), ())
    rules = compiled(examined.config.payload)
    assert rules is not None
    return rules


def occasion(
    model: str = "gpt-5",
    *others: str,
    upstream: str = "openai",
    client: str = "openai",
    headers: Mapping[str, str] | None = None,
) -> Occasion:
    form = by_id(upstream).payload
    asking = by_id(client).payload
    assert form is not None
    assert asking is not None
    return Occasion(
        models=frozenset({model, *others}), upstream=form, client=asking.names, headers=headers or {}
    )


def ruled(text: str, body: JsonObject, upstream: str = "openai") -> JsonObject:
    return rules_of(text).apply(body, occasion(upstream=upstream))


def entry(**members: JsonValue) -> str:
    """A rule that adds ``hit: 1`` to the requests that one entry is about."""
    return f"  override: [{{models: [{dumps_text({'name': '*', **members})}], params: {{hit: 1}}}}]"


# --- what rules do ---


@pytest.mark.parametrize(
    ("text", "body", "expected"),
    [
        ("default: [{models: [{name: '*'}], params: {a: 1}}]", {}, {"a": 1}),
        ("default: [{models: [{name: '*'}], params: {a: 1}}]", {"a": 2}, {"a": 2}),
        ("default: [{models: [{name: '*'}], params: {a: 1}}]", {"a": None}, {"a": None}),
        ("default: [{models: [{name: '*'}], params: {a.b: 1}}]", {"a": {"c": 2}}, {"a": {"c": 2, "b": 1}}),
        ("default: [{models: [{name: '*'}], params: {a: ~}}]", {}, {"a": None}),
        ("default-raw: [{models: [{name: '*'}], params: {a: '{\"b\": [1]}'}}]", {}, {"a": {"b": [1]}}),
        ("default-raw: [{models: [{name: '*'}], params: {a: ~}}]", {}, {}),
        ("default-raw: [{models: [{name: '*'}], params: {a: [2]}}]", {}, {"a": [2]}),
        ("override: [{models: [{name: '*'}], params: {a: '1'}}]", {"a": 2}, {"a": "1"}),
        ("override-raw: [{models: [{name: '*'}], params: {a: '1'}}]", {"a": 2}, {"a": 1}),
        ("override-raw: [{models: [{name: '*'}], params: {a: 'null'}}]", {"a": 2}, {"a": None}),
        ("filter: [{models: [{name: '*'}], params: [a, b.c, d]}]", {"a": 2, "b": {"c": 1}}, {"b": {}}),
        (
            "filter: [{models: [{name: '*'}], params: ['tools.#(type==\"x\")#']}]",
            {"tools": [{"type": "x"}, {"type": "y"}, {"type": "x"}]},
            {"tools": [{"type": "y"}]},
        ),
    ],
)
def test_what_the_lists_do(text: str, body: JsonObject, expected: JsonObject) -> None:
    assert ruled(f"  {text}", body) == expected


def test_the_first_default_and_the_last_override_win() -> None:
    text = """
  default:
    - {models: [{name: "gpt-*"}], params: {a: 1}}
    - {models: [{name: "*"}], params: {a: 2, b: 2}}
  default-raw:
    - {models: [{name: "*"}], params: {a: "3", b: "3", c: "3"}}
  override:
    - {models: [{name: "gpt-*"}], params: {d: 1, e: 1}}
    - {models: [{name: "*"}], params: {d: 2}}
  override-raw:
    - {models: [{name: "*"}], params: {e: "3"}}
"""
    assert ruled(text, {}) == {"a": 1, "b": 2, "c": 3, "d": 2, "e": 3}


def test_later_lists_see_what_earlier_ones_did() -> None:
    text = """
  default: [{models: [{name: "*"}], params: {a.x: 1, b: 1}}]
  override: [{models: [{name: "*"}], params: {a.y: 2}}]
  filter: [{models: [{name: "*"}], params: [a.x, b]}]
"""
    assert ruled(text, {}) == {"a": {"y": 2}}


def test_what_is_absent_is_said_by_the_request_alone() -> None:
    """The second default is not held up by what the first one made."""
    text = (
        '  default: [{models: [{name: "*"}], params: {a: {b: 1}}}, {models: [{name: "*"}], params: {a.b: 2}}]'
    )
    assert ruled(text, {}) == {"a": {"b": 2}}


def test_values_of_rules_are_never_changed_by_rules() -> None:
    rules = rules_of("""
  override:
    - {models: [{name: "*"}], params: {a: {list: [1]}}}
    - {models: [{name: "*"}], params: {a.list.-1: 2}}
""")
    assert [rules.apply({}, occasion()) for _ in range(2)] == [{"a": {"list": [1, 2]}}] * 2


@pytest.mark.parametrize("body", [{"stream": True}, {"stream": False}, {}])
@pytest.mark.parametrize("text", ["override: [{models: [{name: '*'}], params: {stream: 1, stream.a: 2}}]",
                                  "filter: [{models: [{name: '*'}], params: [stream]}]"])  # fmt: skip
def test_whether_the_answer_streams_is_not_for_rules(text: str, body: JsonObject) -> None:
    assert ruled(f"  {text}", body) == body


def test_an_untouched_body_is_the_same_object() -> None:
    body: JsonObject = {"a": [{}]}
    rules = rules_of('  override: [{models: [{name: "claude-*"}], params: {a: 1}}]')
    assert rules.apply(body, occasion("gpt-5")) is body


# --- envelopes ---


@pytest.mark.parametrize("upstream", ["gemini-cli", "antigravity"])
def test_paths_are_those_of_the_request_inside_an_envelope(upstream: str) -> None:
    text = """
  default: [{models: [{name: "*"}], params: {generationConfig.temperature: 1, .topLevel: 2}}]
  filter: [{models: [{name: "*"}], params: [safetySettings, project]}]
"""
    body: JsonObject = {"project": "p", "request": {"contents": [], "safetySettings": []}}
    assert ruled(text, body, upstream) == {
        "project": "p",
        "request": {"contents": [], "generationConfig": {"temperature": 1}, "topLevel": 2},
    }
    assert ruled(text, {"project": "p"}, upstream) == {"project": "p"}
    untouched: JsonObject = {"request": {"generationConfig": {"temperature": 2}, "topLevel": 0}}
    assert ruled(text, untouched, upstream) is untouched


# --- which requests ---


@pytest.mark.parametrize(
    ("pattern", "names", "matches"),
    [
        ("gpt-5", ["gpt-5"], True),
        ("gpt-5", ["GPT-5"], False),
        ("gpt-5", ["gpt-5.1"], False),
        ("gpt-*", ["my-alias", "gpt-5"], True),
        ("gpt-5(high)", ["gpt-5", "gpt-5(high)"], True),
        ("*(high)", ["gpt-5"], False),
        ("gpt-?", ["gpt-5"], False),
        ("*", [""], True),
    ],
)
def test_models(pattern: str, names: list[str], matches: bool) -> None:
    changed = rules_of(entry(name=pattern)).apply({}, occasion(*names))
    assert ("hit" in changed) is matches


@pytest.mark.parametrize(
    ("upstream", "named"),
    [
        ("openai", {"openai"}),
        ("openai-response", {"openai-response", "responses", "codex"}),
        ("codex", {"openai-response", "responses", "codex"}),
        ("xai", {"xai", "codex", "openai-response"}),
        ("claude", {"claude"}),
        ("gemini", {"gemini"}),
        ("gemini-cli", {"gemini", "gemini-cli"}),
        ("antigravity", {"antigravity"}),
    ],
)
def test_protocols(upstream: str, named: set[str]) -> None:
    body: JsonObject = {"request": {}}
    hit = {
        name
        for name in PAYLOAD_PROTOCOLS
        if rules_of(entry(protocol=name.upper())).apply(body, occasion(upstream=upstream)) != body
    }
    assert hit == named


def test_every_name_of_a_protocol_is_one_that_a_configuration_may_use() -> None:
    names = [dialect.payload.names for dialect in DIALECTS if dialect.payload is not None]
    assert frozenset().union(*names) == PAYLOAD_PROTOCOLS


@pytest.mark.parametrize(
    ("members", "matches"),
    [
        ({"from-protocol": "claude"}, True),
        ({"from-protocol": "responses"}, False),
        ({"headers": {"X-Team": "blue"}}, True),
        ({"headers": {"x-team": "b*e"}}, True),
        ({"headers": {"X-Team": "Blue"}}, False),
        ({"headers": {"X-Team": "*", "X-Other": "*"}}, False),
        ({"match": [{"a.b": 1}]}, True),
        ({"match": [{"a.b": 1.0, "list.0": "x"}]}, True),
        ({"match": [{"a.b": True}]}, False),
        ({"match": [{"a.b": 1}, {"a.c": 1}]}, False),
        ({"match": [{"list.#": "y"}]}, True),
        ({"not-match": [{"a.b": 2}]}, True),
        ({"not-match": [{"a.b": 1}]}, False),
        ({"not-match": [{"a.missing": 1}]}, True),
        ({"exist": ["a.b", "list"]}, True),
        ({"exist": ["a.b", "a.c"]}, False),
        ({"exist": ["a.null"]}, False),
        ({"not-exist": ["a.c", "a.null"]}, True),
        ({"not-exist": ["a.b"]}, False),
        ({"protocol": "gemini", "from-protocol": "claude", "exist": ["a"]}, True),
        ({"protocol": "gemini", "from-protocol": "claude", "exist": ["b"]}, False),
    ],
)
def test_all_conditions_of_an_entry_must_hold(members: JsonObject, matches: bool) -> None:
    body: JsonObject = {"a": {"b": 1, "null": None}, "list": ["x", "y"]}
    asked = occasion(upstream="gemini", client="claude", headers={"x-team": "blue"})
    assert ("hit" in rules_of(entry(**members)).apply(body, asked)) is matches


def test_one_entry_that_holds_is_enough() -> None:
    text = "  override: [{models: [{name: a}, {name: b, protocol: claude}, {name: c}], params: {hit: 1}}]"
    rules = rules_of(text)
    hits = {name for name in "abc" if rules.apply({}, occasion(name))}
    assert hits == {"a", "c"}


def test_conditions_are_about_the_request_before_any_rule() -> None:
    text = """
  override:
    - {models: [{name: "*", match: [{a: 1}]}], params: {a: 2}}
    - {models: [{name: "*", match: [{a: 2}]}], params: {b: 1}}
  filter:
    - {models: [{name: "*", exist: [a]}], params: [a]}
"""
    assert ruled(text, {"a": 1}) == {}


# --- no rules ---


def test_without_rules_there_is_nothing_to_apply() -> None:
    assert compiled(examine("payload: {default: [], filter: []}").config.payload) is None


# --- patterns ---


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("abc", "abc", True),
        ("abc", "a*c", True),
        ("ac", "a*c", True),
        ("abcb", "*b*b", True),
        ("ab", "*b*b", False),
        ("aba", "aba*aba", False),
        ("abc", "**", True),
        ("", "", True),
        ("a", "", False),
        ("a.c", "a?c", False),
    ],
)
def test_patterns(text: str, pattern: str, expected: bool) -> None:
    assert is_like(text, pattern) is expected


@given(st.lists(st.text(alphabet="ab", max_size=2), min_size=1, max_size=5), st.data())
def test_a_text_made_after_a_pattern_is_like_it(parts: list[str], data: st.DataObject) -> None:
    text = parts[0] + "".join(data.draw(st.text(alphabet="abc", max_size=3)) + part for part in parts[1:])
    assert is_like(text, "*".join(parts))


# --- any request ---

NAMES = st.sampled_from(["a", "b", "0", "stream"])
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
ALL_LISTS = """
  default: [{models: [{name: "*"}], params: {a.b: 1, a.0.b: [2], b: {}}}]
  default-raw: [{models: [{name: "*", exist: [a]}], params: {a.-1: '{"a": 1}'}}]
  override: [{models: [{name: "*", not-match: [{b: x}]}], params: {b.1.a: x, a.#.b: 2, stream.a: 1}}]
  filter: [{models: [{name: "*"}], params: [a.0, 'b.#(a=="x")#', "?.a"]}]
"""
UPSTREAMS = [dialect.payload for dialect in DIALECTS if dialect.payload is not None]


@given(st.dictionaries(NAMES | st.just("request"), VALUES), st.sampled_from(UPSTREAMS))
def test_any_body_becomes_a_body_and_is_itself_left_alone(body: JsonObject, upstream: RuleForm) -> None:
    before = dumps_text(body)
    asked = Occasion(models=frozenset({"m"}), upstream=upstream)
    changed = rules_of(ALL_LISTS).apply(body, asked)
    assert dumps_text(body) == before
    assert dumps_text(changed)
    assert ("stream" in changed, changed.get("stream")) == ("stream" in body, body.get("stream"))
