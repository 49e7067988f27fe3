"""The passes one by one, and what holds for any conversation after all of them."""

import re
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.pairing import NO_RESULT
from cliproxy.ir.repair import drop_foreign, normalise
from cliproxy.ir.request import (
    CacheMark,
    Essential,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    Part,
    Refusal,
    Signature,
    SystemKind,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.rules import TargetRules

STRICT = TargetRules(
    merges_roles=True,
    results_first=True,
    calls_last=True,
    hoists_system=True,
    drops_blank_text=True,
    drops_prefill=True,
    opening="[start]",
    needs_user_message=True,
    max_call_id=64,
    call_id_charset="[A-Za-z0-9_-]",
    tool_names="claude",
)
LENIENT = TargetRules(drops_orphan_results=False)
REMINDED = TargetRules(merges_roles=True, hoists_system=True, takes_reminders=True)
RULES = {
    "strict": STRICT,
    "lenient": LENIENT,
    "reminded": REMINDED,
    "in-order": evolve(STRICT, results_in_call_order=True),
    "in-place": evolve(STRICT, results_follow_calls=False, results_first=False, merges_roles=False),
}


def context() -> ExchangeContext:
    return ExchangeContext(
        client_dialect="c",
        upstream_dialect="u",
        requested_model="m",
        upstream_model="m",
        now=0.0,
        random_hex=lambda digits: "0" * digits,
    )


def request(*messages: Message, **members: object) -> IRRequest:
    return IRRequest(model="m", messages=list(messages), **members)  # type: ignore[arg-type]


def repaired(rules: TargetRules, *messages: Message) -> list[Message]:
    return normalise(request(*messages), rules, context()).messages


def user(*parts: Part) -> Message:
    return Message("user", list(parts))


def assistant(*parts: Part) -> Message:
    return Message("assistant", list(parts))


def system(*texts: str, kind: SystemKind = "system") -> Message:
    return Message("system", [Text(text) for text in texts], system_kind=kind)


PIXEL = Image(Inline("image/png", "AA=="))
CALL = ToolCall("c1", "f", "{}")
RESULT = ToolResult("c1", [Text("r")], name="f")


def test_neighbours_of_one_role_are_merged() -> None:
    first = Message("user", [Text("a")], extras={"x": {"k": 1}, "y": {"k": 1}})
    second = Message("user", [Text("b")], extras={"x": {"l": 2}})
    merged = repaired(STRICT, first, second)
    assert merged == [
        Message("user", [Text("a"), Text("b")], extras={"x": {"k": 1, "l": 2}, "y": {"k": 1}}),
    ]


def test_neighbours_stay_apart_where_that_is_allowed() -> None:
    messages = [user(Text("a")), user(Text("b"))]
    assert repaired(LENIENT, *messages) == messages


def test_calls_go_last_and_results_first() -> None:
    messages = repaired(
        STRICT, user(Text("q")), assistant(CALL, Text("t")), user(Text("x"), RESULT), user(Text("y"))
    )
    assert messages[1:] == [assistant(Text("t"), CALL), user(RESULT, Text("x"), Text("y"))]


def test_parts_go_to_the_role_they_belong_to() -> None:
    odd = user(Text("a"), CALL, RESULT, Thinking("t"), Text("b"))
    assert repaired(LENIENT, odd) == [user(Text("a")), assistant(CALL), user(RESULT), user(Text("b"))]


def test_result_said_by_the_assistant_becomes_the_users() -> None:
    assert repaired(LENIENT, assistant(CALL, RESULT)) == [assistant(CALL), user(RESULT)]


def test_system_text_is_text() -> None:
    odd = Message("system", [Text("a"), PIXEL, Thinking("t"), Opaque("d", "k", {}), Refusal("n")])
    assert repaired(LENIENT, odd)[0].parts == [Text("a"), Refusal("n")]


def test_system_text_is_hoisted_in_order_with_its_marks() -> None:
    mark = CacheMark({"type": "ephemeral"})
    late = Message("system", [Text("b", cache=mark), Text(" "), Refusal("c")], system_kind="developer")
    changed = normalise(
        request(user(Text("q")), late, system("d"), system=[SystemText("a"), SystemText(" \n")]),
        STRICT,
        context(),
    )
    assert changed.system == [
        SystemText("a"),
        SystemText("b", "developer", mark),
        SystemText("c", "developer"),
        SystemText("d"),
    ]
    assert changed.messages == [user(Text("q"))]


def test_system_text_stays_in_place_where_that_is_understood() -> None:
    messages = [user(Text("q")), system("s"), user(Text("r"))]
    assert repaired(LENIENT, *messages) == messages


def test_reminder_becomes_marked_words_of_the_user() -> None:
    note = system("note", "more", kind="reminder")
    assert repaired(LENIENT, user(Text("q")), note)[1] == user(
        Text("<system-reminder>\nnote\nmore\n</system-reminder>")
    )


def test_reminder_keeps_its_cache_mark() -> None:
    mark = CacheMark({"type": "ephemeral"})
    note = Message("system", [Text("note", cache=mark)], system_kind="reminder")
    text = repaired(LENIENT, note)[0].parts[0]
    assert isinstance(text, Text)
    assert text.cache is mark


def test_blank_reminder_disappears() -> None:
    assert repaired(LENIENT, user(Text("q")), system(" ", kind="reminder")) == [user(Text("q"))]


def test_reminder_stays_where_the_target_knows_it() -> None:
    messages = [user(Text("q")), system("note", kind="reminder"), user(Text("r"))]
    assert repaired(REMINDED, *messages) == messages


def test_reminder_at_the_very_front_is_plain_system_text() -> None:
    changed = normalise(request(system("note", kind="reminder"), user(Text("q"))), REMINDED, context())
    assert (changed.system, changed.messages) == ([SystemText("note")], [user(Text("q"))])


def test_empties_are_dropped() -> None:
    kept = Thinking(redacted=Signature("d", Family.CLAUDE))
    messages = repaired(
        STRICT,
        user(Text(""), Text("q"), Refusal("")),
        assistant(Thinking(), Thinking("", Signature("", Family.CLAUDE)), Text(" \n"), kept),
        user(ToolResult("zz")),
        user(Text("")),
        user(Text("go")),
    )
    assert messages == [user(Text("q")), assistant(kept), user(Text("go"))]


def test_empty_text_inside_a_result_is_dropped_and_the_result_kept() -> None:
    answer = ToolResult("c1", [Text(""), PIXEL])
    messages = repaired(STRICT, user(Text("q")), assistant(CALL), user(answer))
    assert messages[2] == user(ToolResult("c1", [PIXEL], name="f"))


def test_blank_text_stays_where_it_is_harmless() -> None:
    messages = [user(Text(" "))]
    assert repaired(LENIENT, *messages) == messages


def test_prefill_is_dropped_where_it_is_refused() -> None:
    messages = [user(Text("q")), assistant(Text("a")), assistant(CALL)]
    assert repaired(STRICT, *messages) == messages[:1]
    assert repaired(LENIENT, *messages) == messages


def test_prefill_alone_leaves_nothing_to_answer() -> None:
    assert repaired(STRICT, assistant(Text("a"))) == []


def test_conversation_that_the_assistant_begins_gets_an_opening() -> None:
    messages = repaired(STRICT, assistant(Text("hello")), user(Text("q")))
    assert messages[0] == user(Text("[start]"))


def test_system_text_alone_becomes_the_users_words() -> None:
    mark = CacheMark({"type": "ephemeral"})
    alone = request(system=[SystemText("S", cache=mark)])
    changed = normalise(alone, STRICT, context())
    assert (changed.system, changed.messages) == ([], [user(Text("S", cache=mark))])
    assert normalise(alone, LENIENT, context()) == alone


def test_nothing_at_all_stays_nothing() -> None:
    assert normalise(request(), STRICT, context()) == request()


READ = Tool(ToolKind.FUNCTION, "read")


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (None, [READ], None),
        (ToolChoice("auto"), [], None),
        (ToolChoice("auto"), [READ], ToolChoice("auto")),
        (ToolChoice("tool", ["read"]), [READ], ToolChoice("tool", ["read"])),
        (ToolChoice("tool", ["gone"]), [READ], None),
        (ToolChoice("tool"), [READ], None),
        (ToolChoice("any", ["gone", "read"]), [READ], ToolChoice("any", ["read"])),
    ],
)
def test_tool_choice(choice: ToolChoice | None, tools: list[Tool], expected: ToolChoice | None) -> None:
    changed = normalise(
        request(user(Text("q")), tool_choice=choice, tools=tools, parallel_tool_calls=False),
        STRICT,
        context(),
    )
    assert changed.tool_choice == expected
    assert changed.parallel_tool_calls is (False if tools else None)


def test_tool_names_are_fitted() -> None:
    ctx = context()
    wanted = request(
        user(Text("q")), tools=[Tool(ToolKind.FUNCTION, "a b")], tool_choice=ToolChoice("tool", ["a b"])
    )
    changed = normalise(wanted, STRICT, ctx)
    assert changed.tools[0].name == "a_b"
    assert changed.tool_choice == ToolChoice("tool", ["a_b"])
    assert ctx.client_tool_name("a_b") == "a b"


# --- any conversation ---------------------------------------------------------------------------------------

ids = st.sampled_from(["", "a", "b", "a.b", "a:b", "x" * 80])
names = st.sampled_from(["", "f", "g h", "y" * 130])
words = st.sampled_from(["", " ", "hello", "<tag>"])
signatures = st.none() | st.builds(Signature, st.sampled_from(["", "s"]), st.sampled_from(Family))
inner = st.builds(Text, words) | st.just(PIXEL)
parts = st.one_of(
    st.builds(Text, words),
    st.builds(Refusal, words),
    st.builds(Thinking, words, signatures, signatures),
    st.builds(ToolCall, ids, names, st.sampled_from(["", "{}", '{"a":1}'])),
    st.builds(ToolResult, ids, st.lists(inner, max_size=2), name=names),
    st.just(PIXEL),
    st.just(Opaque("d", "k", {})),
)
messages_of_any_kind = st.lists(
    st.builds(
        Message,
        st.sampled_from(["user", "assistant", "system"]),
        st.lists(parts, max_size=4),
        st.sampled_from(["system", "developer", "reminder"]),
    ),
    max_size=8,
)
requests = st.builds(
    IRRequest,
    model=st.just("m"),
    messages=messages_of_any_kind,
    system=st.lists(st.builds(SystemText, words), max_size=2),
    tools=st.lists(st.builds(Tool, st.sampled_from(ToolKind), names), max_size=3),
    tool_choice=st.none()
    | st.builds(ToolChoice, st.sampled_from(["auto", "none", "any", "tool"]), st.lists(names, max_size=2)),
)


def calls_of(messages: list[Message]) -> list[ToolCall]:
    return [part for message in messages for part in message.parts if isinstance(part, ToolCall)]


def results_of(messages: list[Message]) -> list[ToolResult]:
    return [part for message in messages for part in message.parts if isinstance(part, ToolResult)]


def texts_of(messages: list[Message]) -> str:
    """Every visible word, wherever it stands, in an order that does not depend on places."""
    found = [part.text for message in messages for part in message.parts if isinstance(part, Text | Refusal)]
    joined = "".join(found)
    return "".join(sorted(re.sub(r"</?system-reminder>|\s", "", joined)))


@given(requests)
def test_strict_vendors_accept_any_repaired_conversation(wild: IRRequest) -> None:
    repaired_request = normalise(wild, STRICT, context())
    messages = repaired_request.messages
    if not messages:
        return
    assert messages[0].role == "user"
    assert all(one.role != other.role for one, other in pairwise(messages))
    assert {message.role for message in messages} <= {"user", "assistant"}
    found = [call.id for call in calls_of(messages)]
    assert len(found) == len(set(found))
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", id) for id in found)
    for index, message in enumerate(messages):
        assert message.parts
        _check_parts(message)
        called = [call.id for call in calls_of([message])]
        answered = [result.call_id for result in results_of(messages[index + 1 : index + 2])]
        if index + 1 < len(messages):
            assert sorted(called) == sorted(answered)
    assert not results_of(messages[:1])


def _check_parts(message: Message) -> None:
    kinds = [type(part) for part in message.parts]
    if message.role == "user":
        assert ToolCall not in kinds
        assert Thinking not in kinds
        assert kinds == sorted(kinds, key=lambda kind: kind is not ToolResult)
    else:
        assert ToolResult not in kinds
        assert kinds == sorted(kinds, key=lambda kind: kind is ToolCall)
    assert all(part.text.strip() for part in message.parts if isinstance(part, Text | Refusal))


@given(requests)
def test_results_stand_in_the_order_of_calls_where_that_is_demanded(wild: IRRequest) -> None:
    messages = normalise(wild, RULES["in-order"], context()).messages
    for one, other in pairwise(messages):
        assert [c.id for c in calls_of([one])] == [r.call_id for r in results_of([other])] or not calls_of(
            [one]
        )


@pytest.mark.parametrize("name", sorted(RULES))
@given(wild=requests)
def test_repairing_twice_changes_nothing_more(name: str, wild: IRRequest) -> None:
    once = normalise(wild, RULES[name], context())
    assert normalise(once, RULES[name], context()) == once


@given(requests)
def test_no_word_and_no_call_is_lost(wild: IRRequest) -> None:
    """With prefill allowed, everything a user or model said is still there; ids lead back to the client's."""
    ctx = context()
    rules = evolve(STRICT, drops_prefill=False, hoists_system=False, opening="", needs_user_message=False)
    messages = normalise(wild, rules, ctx).messages
    assert texts_of(messages) == texts_of(wild.messages)
    before, after = calls_of(wild.messages), calls_of(messages)
    assert [call.arguments for call in after] == [call.arguments for call in before]
    for old, new in zip(before, after, strict=True):
        assert not old.id or ctx.client_call_id(new.id) == old.id


@given(requests)
def test_only_made_up_results_say_no_result(wild: IRRequest) -> None:
    messages = normalise(wild, STRICT, context()).messages
    made_up = [result for result in results_of(messages) if result.parts == [Text(NO_RESULT)]]
    assert all(result.is_error is True for result in made_up)
    real = [result for result in results_of(messages) if result.parts != [Text(NO_RESULT)]]
    assert len(real) <= len(results_of(wild.messages))


@given(requests)
def test_growing_conversation_keeps_its_beginning(wild: IRRequest) -> None:
    """Prompt caches compare prefixes: what was sent must be sent the same way with the next turn."""
    rules = evolve(STRICT, drops_prefill=False)
    ctx = context()
    first = normalise(wild, rules, ctx)
    if not first.messages or first.messages[-1].role != "user":
        return
    more = [*wild.messages, assistant(Text("answer")), user(Text("next"))]
    grown = normalise(evolve(wild, messages=more), rules, context())
    if first.system == grown.system:
        assert grown.messages[: len(first.messages)] == first.messages


@given(requests)
def test_the_original_is_not_touched(wild: IRRequest) -> None:
    copy = repr(wild)
    normalise(wild, STRICT, context())
    assert repr(wild) == copy


# --- what only another dialect understands ------------------------------------------------------------------

SPEAKING = evolve(LENIENT, speaks=frozenset({"own"}))


def test_opaque_parts_of_other_dialects_are_dropped_with_a_note():
    own, foreign = Opaque("own", "search", {}), Opaque("other", "search", {})
    parts: list[Part] = [own, foreign, ToolResult("c", [foreign, Text("t")])]
    ctx = context()
    request = drop_foreign(IRRequest(model="m", messages=[Message("user", parts)]), SPEAKING, ctx)
    assert request.messages[0].parts == [own, ToolResult("c", [Text("t")])]
    assert ctx.notes == ["search (other) was dropped: only its own API knows it"]


def test_neighbours_of_a_dropped_part_become_one_message():
    said = [
        Message("user", [Text("a")]),
        Message("assistant", [Opaque("other", "search", {})]),
        Message("user", [Text("b")]),
    ]
    (message,) = normalise(IRRequest(model="m", messages=said), STRICT, context()).messages
    assert message.parts == [Text("a"), Text("b")]


def test_what_must_not_be_lost_is_refused_by_name():
    request = IRRequest(model="m", messages=[], essentials=[Essential("other", "a summary", "input[0]")])
    with pytest.raises(DialectError, match="a summary") as caught:
        normalise(request, SPEAKING, context())
    assert caught.value.param == "input[0]"


def test_what_must_not_be_lost_goes_to_those_who_understand_it():
    request = IRRequest(model="m", messages=[], essentials=[Essential("own", "a summary", "input[0]")])
    assert normalise(request, SPEAKING, context()).essentials == request.essentials


@pytest.mark.parametrize(("dialect", "kept"), [("own", True), ("other", False)])
def test_choice_of_a_server_side_tool_needs_a_target_that_has_it(dialect, kept):
    request = IRRequest(
        model="m",
        messages=[Message("user", [Text("a")])],
        tools=[Tool(ToolKind.BUILTIN, "shell", raw={}, dialect=dialect), Tool(ToolKind.FUNCTION, "f")],
        tool_choice=ToolChoice("tool", ["shell"]),
    )
    choice = normalise(request, SPEAKING, context()).tool_choice
    assert choice == (ToolChoice("tool", ["shell"]) if kept else None)


def test_a_model_that_takes_no_prefill_gets_none() -> None:
    ctx = context()
    ctx.upstream_refuses = frozenset({"prefill"})
    said = [Message("user", [Text("q")]), Message("assistant", [Text("a")])]
    request = normalise(IRRequest(model="m", messages=said), REMINDED, ctx)
    assert request.messages == said[:1]
    assert ctx.notes == ["an assistant message at the end was dropped"]


def test_a_paused_turn_is_no_prefill() -> None:
    ctx = context()
    ctx.upstream_refuses = frozenset({"prefill"})
    rules = evolve(REMINDED, speaks=frozenset({"claude"}))
    said = [Message("user", [Text("q")]), Message("assistant", [Opaque("claude", "server_tool_use", {})])]
    assert normalise(IRRequest(model="m", messages=said), rules, ctx).messages == said
