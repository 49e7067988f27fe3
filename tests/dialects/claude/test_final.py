"""The last touches: combinations and cache marks."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.claude.final import (
    add_cache_marks,
    for_counting,
    keep_ttl_order,
    limit_cache_marks,
    make_legal,
    prefer_forced_tool,
    put_system_first,
    settle_sampling,
    take_betas,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue

SHORT: JsonObject = {"type": "ephemeral"}
LONG: JsonObject = {"type": "ephemeral", "ttl": "1h"}
ON: JsonObject = {"type": "enabled", "budget_tokens": 2048}


def text(said: str, mark: JsonObject | None = None) -> JsonObject:
    block: JsonObject = {"type": "text", "text": said}
    return block if mark is None else {**block, "cache_control": mark}


def tool(name: str, mark: JsonObject | None = None) -> JsonObject:
    return {"name": name} if mark is None else {"name": name, "cache_control": mark}


def user(*blocks: JsonValue) -> JsonObject:
    return {"role": "user", "content": [*blocks]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tool_choice": {"type": "any"}, "thinking": ON}, {"tool_choice": {"type": "any"}}),
        (
            {
                "tool_choice": {"type": "tool"},
                "thinking": {"type": "adaptive"},
                "output_config": {"effort": "high"},
            },
            {"tool_choice": {"type": "tool"}},
        ),
        (
            {"tool_choice": {"type": "any"}, "output_config": {"effort": "high", "format": {}}},
            {"tool_choice": {"type": "any"}, "output_config": {"format": {}}},
        ),
        (
            {"tool_choice": {"type": "any"}, "thinking": {"type": "disabled"}},
            {"tool_choice": {"type": "any"}, "thinking": {"type": "disabled"}},
        ),
        (
            {"tool_choice": {"type": "auto"}, "thinking": ON},
            {"tool_choice": {"type": "auto"}, "thinking": ON},
        ),
        ({"thinking": ON}, {"thinking": ON}),
    ],
)
def test_forced_tool_beats_thinking(body: JsonObject, expected: JsonObject) -> None:
    assert prefer_forced_tool(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"temperature": 1.7, "top_p": 0.9}, {"temperature": 1.0}),
        ({"temperature": -1}, {"temperature": 0.0}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.9, "top_k": 5}, {"top_p": 0.9, "top_k": 5}),
        ({"temperature": 0.5, "thinking": ON}, {"thinking": ON}),
        ({"temperature": 1, "top_k": 5, "thinking": ON}, {"temperature": 1, "thinking": ON}),
        ({"top_p": 0.9, "thinking": ON}, {"thinking": ON}),
        ({"top_p": 0.95, "thinking": ON}, {"top_p": 0.95, "thinking": ON}),
        (
            {"temperature": 1, "top_p": 0.95, "top_k": 64, "thinking": ON},
            {"temperature": 1, "thinking": ON},
        ),
        (
            {"temperature": 0.5, "thinking": {"type": "disabled"}},
            {"temperature": 0.5, "thinking": {"type": "disabled"}},
        ),
    ],
)
def test_sampling(body: JsonObject, expected: JsonObject) -> None:
    assert settle_sampling(body) == expected


def test_sampling_returns_once_a_forced_tool_has_ended_thinking() -> None:
    body: JsonObject = {"tool_choice": {"type": "any"}, "thinking": ON, "temperature": 0.5}
    assert make_legal(body) == {"tool_choice": {"type": "any"}, "temperature": 0.5}


def test_four_marks_may_stay() -> None:
    body: JsonObject = {
        "tools": [tool("a", SHORT)],
        "system": [text("s", SHORT)],
        "messages": [user(text("q", SHORT), text("r", SHORT))],
    }
    assert limit_cache_marks(body) is body


def test_the_marks_that_save_least_go_first() -> None:
    body: JsonObject = {
        "tools": [tool("a", SHORT), tool("b", SHORT)],
        "system": [text("s", SHORT), text("t", SHORT)],
        "messages": [user(text("1", SHORT), text("2", SHORT)), user(text("3", SHORT))],
    }
    assert limit_cache_marks(body) == {
        "tools": [tool("a"), tool("b", SHORT)],
        "system": [text("s"), text("t", SHORT)],
        "messages": [user(text("1"), text("2", SHORT)), user(text("3", SHORT))],
    }


def test_a_mark_on_the_whole_request_takes_one_of_the_places() -> None:
    body: JsonObject = {
        "cache_control": SHORT,
        "system": [text("s", SHORT)],
        "messages": [user(*(text(str(n), SHORT) for n in range(3)))],
    }
    assert limit_cache_marks(body)["messages"] == [user(text("0"), text("1", SHORT), text("2", SHORT))]


def test_last_marks_of_system_and_tools_go_last_of_all() -> None:
    body: JsonObject = {
        "cache_control": SHORT,
        "tools": [tool("a", SHORT)],
        "system": [text("s", SHORT)],
        "messages": [user(*(text(str(n), SHORT) for n in range(9)))],
    }
    limited = limit_cache_marks(body)
    assert limited["tools"] == body["tools"]
    assert limited["system"] == body["system"]
    assert limited["messages"] == [user(*(text(str(n)) for n in range(8)), text("8", SHORT))]


def test_an_hour_does_not_follow_five_minutes() -> None:
    body: JsonObject = {
        "tools": [tool("a", LONG)],
        "system": [text("s", SHORT)],
        "messages": [user(text("q", LONG), text("r"))],
    }
    assert keep_ttl_order(body) == {
        "tools": [tool("a", LONG)],
        "system": [text("s", SHORT)],
        "messages": [user(text("q", SHORT), text("r"))],
    }


def test_marks_in_order_are_left_alone() -> None:
    body: JsonObject = {"tools": [tool("a", LONG)], "messages": [user(text("q", SHORT))]}
    assert keep_ttl_order(body) is body


def result(*blocks: JsonValue, mark: JsonObject | None = None) -> JsonObject:
    made: JsonObject = {"type": "tool_result", "tool_use_id": "t", "content": [*blocks]}
    return {**made, "cache_control": mark} if mark else made


def test_marks_inside_results_count_and_come_before_the_one_on_the_result() -> None:
    body: JsonObject = {
        "messages": [
            user(result(text("a", SHORT), text("b", SHORT), mark=SHORT)),
            user(result(text("c", SHORT), text("d")), text("e", SHORT)),
        ]
    }
    assert limit_cache_marks(body) == {
        "messages": [
            user(result(text("a"), text("b", SHORT), mark=SHORT)),
            user(result(text("c", SHORT), text("d")), text("e", SHORT)),
        ]
    }
    late: JsonObject = {"messages": [user(result(text("a", SHORT), mark=LONG))]}
    assert keep_ttl_order(late) == {"messages": [user(result(text("a", SHORT), mark=SHORT))]}
    assert add_cache_marks(late) is late


def test_unmarked_request_gets_the_three_marks_that_pay() -> None:
    body: JsonObject = {
        "tools": [tool("a"), tool("b"), {"name": "c", "defer_loading": True}],
        "system": "be brief",
        "messages": [
            user(text("1")),
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "x"},
            user(text("3")),
        ],
    }
    assert add_cache_marks(body) == {
        "tools": [tool("a"), tool("b", SHORT), {"name": "c", "defer_loading": True}],
        "system": [text("be brief", SHORT)],
        "messages": [
            user(text("1")),
            user(text("2", SHORT)),
            {"role": "assistant", "content": "x"},
            user(text("3")),
        ],
    }


def test_what_is_no_block_cannot_be_marked() -> None:
    assert add_cache_marks({"system": [7]}) == {"system": [7]}


def test_a_first_turn_has_nothing_to_reuse() -> None:
    body: JsonObject = {"messages": [user(text("1"))]}
    assert add_cache_marks(body) is body


@pytest.mark.parametrize(
    "marked",
    [
        {"cache_control": SHORT},
        {"tools": [tool("a", SHORT)]},
        {"system": [text("s", SHORT)]},
        {"messages": [user(text("q", SHORT))]},
    ],
)
def test_who_marks_for_himself_is_left_alone(marked: JsonObject) -> None:
    body: JsonObject = {"system": "s", "tools": [tool("a")], "messages": [user("q"), user("r")], **marked}
    assert add_cache_marks(body) is body


def test_counting_leaves_out_what_is_not_counted() -> None:
    body: JsonObject = {
        "model": "m",
        "max_tokens": 1,
        "stream": True,
        "metadata": {},
        "messages": [user(text("q"))],
        "system": "s",
        "thinking": ON,
        "unheard_of": 1,
    }
    assert set(for_counting(body)) == {"model", "messages", "system", "thinking", "unheard_of"}


@pytest.mark.parametrize(
    ("betas", "taken"),
    [(["a", " b ", "c,d"], ("a", "b", "c", "d")), ("a,b", ("a", "b")), ([], ()), (7, ()), (["", ","], ())],
)
def test_betas(betas: JsonValue, taken: tuple[str, ...]) -> None:
    assert take_betas({"model": "m", "betas": betas}) == ({"model": "m"}, taken)


def test_no_betas() -> None:
    body: JsonObject = {"model": "m"}
    rest, taken = take_betas(body)
    assert rest is body
    assert taken == ()


def test_inline_system_messages_can_be_put_first() -> None:
    body: JsonObject = {
        "system": "a",
        "messages": [
            user("q"),
            {"role": "system", "content": "b"},
            {"role": "system", "content": [text("c")]},
        ],
    }
    assert put_system_first(body) == {"system": [text("a"), text("b"), text("c")], "messages": [user("q")]}
    plain: JsonObject = {"messages": [user("q")]}
    assert put_system_first(plain) is plain


# --- any body -----------------------------------------------------------------------------------------------

odd: st.SearchStrategy[JsonValue] = st.sampled_from([None, 7, "text", [], {}, [7], {"a": 1}])
marks = st.sampled_from([None, SHORT, LONG])
blocks = st.builds(text, st.just("x"), marks) | odd
messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system"]),
    st.lists(blocks, max_size=4) | odd,
)
bodies: st.SearchStrategy[JsonObject] = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(st.builds(tool, st.just("t"), marks) | odd, max_size=4) | odd,
        "system": st.lists(blocks, max_size=4) | odd,
        "messages": st.lists(messages | odd, max_size=4) | odd,
        "thinking": st.just(ON) | odd,
        "tool_choice": st.just({"type": "any"}) | odd,
        "output_config": odd,
        "temperature": odd,
        "top_p": st.just(0.5) | odd,
        "betas": odd,
        "cache_control": marks,
    },
)
STEPS = [make_legal, add_cache_marks, for_counting, put_system_first]


@pytest.mark.parametrize("step", STEPS)
@given(body=bodies)
def test_steps_are_total_pure_and_final(step: object, body: JsonObject) -> None:
    assert callable(step)
    before = copy.deepcopy(body)
    once = step(body)
    assert body == before
    assert step(once) == once


@given(bodies)
def test_legal_bodies_have_few_marks_in_order(body: JsonObject) -> None:
    legal = make_legal(body)
    sections = [legal.get("tools"), legal.get("system")]
    listed = legal.get("messages")
    sections += [m.get("content") for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    holders = [holder for section in sections if isinstance(section, list) for holder in section]
    found = [
        holder["cache_control"]
        for holder in holders
        if isinstance(holder, dict) and "cache_control" in holder
    ]
    assert len(found) <= 4
    assert found == sorted(found, key=lambda mark: mark != LONG)
