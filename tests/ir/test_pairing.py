"""Calls and results: the ledger's rules one by one."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.pairing import NO_RESULT, pair_calls
from cliproxy.ir.request import CallKind, IRRequest, Message, Part, Text, ToolCall, ToolResult
from cliproxy.ir.rules import TargetRules

STRICT = TargetRules()
CHAT = TargetRules(drops_orphan_results=False)
IN_PLACE = TargetRules(results_follow_calls=False)
IN_ORDER = TargetRules(results_in_call_order=True)
CHARS = TargetRules(call_id_charset="[A-Za-z0-9_-]", call_id_prefix="toolu_")
SHORT = TargetRules(max_call_id=64)


def context() -> ExchangeContext:
    return ExchangeContext(
        client_dialect="c",
        upstream_dialect="u",
        requested_model="m",
        upstream_model="m",
        now=0.0,
        random_hex=lambda digits: "0" * digits,
    )


def user(*parts: Part | str) -> Message:
    return Message("user", [Text(part) if isinstance(part, str) else part for part in parts])


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", [Text(part) if isinstance(part, str) else part for part in parts])


def call(id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id, name, arguments)


def result(id: str, text: str = "r", name: str = "") -> ToolResult:
    return ToolResult(id, [Text(text)], name=name)


def paired(
    *messages: Message, rules: TargetRules = STRICT, ctx: ExchangeContext | None = None
) -> list[Message]:
    return pair_calls(IRRequest(model="m", messages=list(messages)), rules, ctx or context()).messages


def outline(messages: list[Message]) -> list[list[str]]:
    """Messages in short: ``call``/``result`` with ids, the text of results, plain texts."""
    return [[_word(part) for part in message.parts] for message in messages]


def _word(part: Part) -> str:
    match part:
        case ToolCall():
            return f"call {part.id}"
        case ToolResult(parts=[Text(text=text)]):
            return f"{part.call_id}={text}"
        case Text():
            return part.text
    raise AssertionError(part)


def test_orderly_conversation_is_left_alone() -> None:
    messages = [user("q"), assistant(call("c1")), user(result("c1", name="f")), assistant("a")]
    assert paired(*messages) == messages


def test_result_takes_name_and_kind_of_its_call() -> None:
    custom = ToolCall("c1", "patch", "text", CallKind.CUSTOM)
    answer = paired(assistant(custom), user(result("c1")))[1].parts[0]
    assert isinstance(answer, ToolResult)
    assert (answer.name, answer.kind) == ("patch", CallKind.CUSTOM)


def test_name_the_client_gave_stays() -> None:
    answer = paired(assistant(call("c1")), user(result("c1", name="g")))[1].parts[0]
    assert isinstance(answer, ToolResult)
    assert answer.name == "g"


def test_result_moves_up_before_words_in_between() -> None:
    messages = paired(assistant(call("A")), user("m"), user(result("A")))
    assert outline(messages) == [["call A"], ["A=r"], ["m"]]


def test_results_keep_their_order_and_leave_other_words_behind() -> None:
    turn = assistant(call("c1"), call("c2"))
    messages = paired(turn, user(result("c2", "2")), user(result("c1", "1")), user("go"))
    assert outline(messages) == [["call c1", "call c2"], ["c2=2"], ["c1=1"], ["go"]]


def test_results_in_the_order_of_calls_share_one_message() -> None:
    turn = assistant(call("c1"), call("c2"))
    messages = paired(turn, user(result("c2", "2")), user(result("c1", "1")), rules=IN_ORDER)
    assert outline(messages) == [["call c1", "call c2"], ["c1=1", "c2=2"]]


def test_result_before_words_of_the_same_message() -> None:
    messages = paired(assistant(call("c1")), user("x", result("c1")))
    assert outline(messages) == [["call c1"], ["c1=r"], ["x"]]


def test_message_of_results_alone_keeps_what_its_dialect_said() -> None:
    tool = evolve(user(result("c1")), extras={"openai": {"name": "n"}})
    mixed = evolve(user("x", result("c2")), extras={"openai": {"name": "m"}})
    messages = paired(assistant(call("c1"), call("c2")), tool, mixed)
    assert [message.extras for message in messages[1:]] == [{"openai": {"name": "n"}}, {}, mixed.extras]


def test_unanswered_call_gets_a_marked_result() -> None:
    messages = paired(assistant(call("c1"), call("c2")), user(result("c1")), assistant("a"))
    assert outline(messages) == [["call c1", "call c2"], ["c1=r", f"c2={NO_RESULT}"], ["a"]]
    answer = messages[1].parts[1]
    assert isinstance(answer, ToolResult)
    assert answer.is_error is True
    assert answer.name == "f"


@pytest.mark.parametrize("rules", [STRICT, IN_PLACE, IN_ORDER])
def test_calls_at_the_very_end_stay_open(rules: TargetRules) -> None:
    messages = [user("q"), assistant(call("c1"))]
    assert paired(*messages, rules=rules) == messages


def test_partly_answered_last_turn_is_completed() -> None:
    """Something follows the turn, so vendors want the whole answer."""
    messages = paired(assistant(call("c1"), call("c2")), user(result("c2")))
    assert outline(messages)[1] == ["c2=r", f"c1={NO_RESULT}"]


def test_interrupted_turn_is_answered_before_the_next_words() -> None:
    messages = paired(assistant(call("c1")), user("stop"))
    assert outline(messages) == [["call c1"], [f"c1={NO_RESULT}"], ["stop"]]


def test_orphan_at_the_end_does_not_close_the_last_turn() -> None:
    assert outline(paired(assistant(call("c1")), user(result("zz")))) == [["call c1"]]


def test_duplicate_result_replaces_the_first_in_its_place() -> None:
    ctx = context()
    messages = paired(assistant(call("c1")), user(result("c1", "old")), user(result("c1", "new")), ctx=ctx)
    assert outline(messages) == [["call c1"], ["c1=new"]]
    assert ctx.notes


def test_orphans_are_dropped_where_they_are_refused() -> None:
    ctx = context()
    assert outline(paired(user("q"), user(result("zz")), ctx=ctx)) == [["q"]]
    assert ctx.notes == ["a tool result without a call was dropped"]


def test_orphans_stay_where_they_are_taken() -> None:
    messages = [user(result("zz")), user("q")]
    assert paired(*messages, rules=CHAT) == messages


@pytest.mark.parametrize(("speaks", "kept"), [("c", True), ("u", False)])
def test_orphans_stay_where_the_upstream_may_remember_their_calls(speaks: str, kept: bool) -> None:
    """Only a client of the upstream's own dialect can go on with a conversation that is kept there."""
    rules = TargetRules(drops_orphan_results=False, keeps_conversations=True, speaks=frozenset({speaks}))
    messages = paired(user(result("zz")), user("q"), rules=rules)
    assert outline(messages) == ([["zz=r"], ["q"]] if kept else [["q"]])


def test_result_before_its_call_is_an_orphan() -> None:
    messages = paired(user(result("c1")), assistant(call("c1")), user("m"))
    assert outline(messages) == [["call c1"], [f"c1={NO_RESULT}"], ["m"]]


def test_result_without_id_takes_the_call_before_it() -> None:
    assert outline(paired(assistant(call("c1")), user(result("")))) == [["call c1"], ["c1=r"]]


def test_results_without_id_find_their_calls_by_name_first() -> None:
    turn = assistant(call("c1", "a"), call("c2", "b"), call("c3", "a"))
    results = user(result("", "B", "b"), result("", "A1", "a"), result("", "A2", "a"))
    assert outline(paired(turn, results))[1] == ["c2=B", "c1=A1", "c3=A2"]


def test_nameless_result_takes_the_next_open_call() -> None:
    turn = assistant(call("c1", "a"), call("c2", "b"))
    assert outline(paired(turn, user(result("c1", "1"), result("", "2"))))[1] == ["c1=1", "c2=2"]


def test_words_end_the_wait_for_results_without_id() -> None:
    messages = paired(assistant(call("c1")), user("m"), user(result("")))
    assert outline(messages) == [["call c1"], [f"c1={NO_RESULT}"], ["m"]]


def test_result_with_an_id_of_its_own_finds_the_call_that_has_none() -> None:
    messages = paired(assistant(call("", "a"), call("c2", "a")), user(result("x1", "r", "a")))
    first = messages[0].parts[0]
    assert isinstance(first, ToolCall)
    assert outline(messages)[1][0] == f"{first.id}=r"


def test_missing_ids_are_made_up_the_same_way_every_time() -> None:
    turn = assistant(call("", "f", '{"a":1}'), call("", "f", '{"a":1}'))
    results = user(result("", "1"), result("", "2"))
    messages = paired(turn, results, rules=CHARS)
    assert messages == paired(turn, results, user("more"), rules=CHARS)[:2]
    ids = [part.id for part in messages[0].parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2
    assert all(id.startswith("toolu_") and len(id) == len("toolu_") + 24 for id in ids)
    assert outline(messages)[1] == [f"{ids[0]}=1", f"{ids[1]}=2"]


def test_forbidden_characters_are_replaced_and_remembered() -> None:
    ctx = context()
    messages = paired(assistant(call("call.1:x")), user(result("call.1:x")), rules=CHARS, ctx=ctx)
    assert outline(messages) == [["call call_1_x"], ["call_1_x=r"]]
    assert ctx.client_call_id("call_1_x") == "call.1:x"


def test_long_ids_are_cut_and_told_apart_by_hash() -> None:
    long = "x" * 80
    ctx = context()
    first = paired(assistant(call(long)), user(result(long)), rules=SHORT, ctx=ctx)[0].parts[0]
    assert isinstance(first, ToolCall)
    assert first.id == "x" * 47 + "_d929cdeea7e6a0f4"
    assert ctx.client_call_id(first.id) == long


def test_ids_that_become_equal_are_kept_apart() -> None:
    messages = paired(assistant(call("a.b"), call("a:b")), user(result("a:b", "2")), rules=CHARS)
    assert outline(messages)[0] == ["call a_b", "call a_b_2"]
    assert outline(messages)[1][0] == "a_b_2=2"


def test_repeated_id_in_one_turn_is_renamed_and_results_pair_in_order() -> None:
    turn = assistant(call("c"), call("c"), call("c"))
    messages = paired(turn, user(result("c", "1"), result("c", "2"), result("c", "3"), result("c", "4")))
    assert outline(messages) == [["call c", "call c_2", "call c_3"], ["c=1", "c_2=2", "c_3=4"]]


def test_repeated_id_of_a_later_turn_belongs_to_that_turn() -> None:
    """Clients that number calls within a turn send the same ids in every turn."""
    messages = paired(
        assistant(call("c")), user(result("c", "1")), assistant(call("c")), user(result("c", "2"), "go")
    )
    assert outline(messages) == [["call c"], ["c=1"], ["call c_2"], ["c_2=2"], ["go"]]


def test_interrupted_turn_does_not_take_the_result_of_a_later_one() -> None:
    messages = paired(assistant(call("c")), user("no"), assistant(call("c")), user(result("c", "2")))
    assert outline(messages) == [["call c"], [f"c={NO_RESULT}"], ["no"], ["call c_2"], ["c_2=2"]]


def test_late_result_of_an_earlier_turn_finds_it() -> None:
    messages = paired(
        assistant(call("c")), assistant(call("c")), user(result("c", "2"), result("c", "1")), rules=STRICT
    )
    assert outline(messages) == [["call c"], ["c=1"], ["call c_2"], ["c_2=2"]]


def test_renamed_ids_respect_the_length() -> None:
    id = "y" * 64
    second = paired(assistant(call(id), call(id)), rules=SHORT)[0].parts[1]
    assert isinstance(second, ToolCall)
    assert second.id == "y" * 62 + "_2"


def test_results_may_stay_in_place() -> None:
    messages = [assistant(call("c1")), user("m"), user(result("c1", name="f"), "x")]
    assert paired(*messages, rules=IN_PLACE) == messages


def test_in_place_an_open_call_is_answered_at_once() -> None:
    messages = paired(assistant(call("c1")), user("m"), rules=IN_PLACE)
    assert outline(messages) == [["call c1"], [f"c1={NO_RESULT}"], ["m"]]


def test_in_place_a_message_of_orphans_disappears() -> None:
    assert outline(paired(user(result("zz")), user("m"), rules=IN_PLACE)) == [["m"]]


def test_lenient_target_keeps_what_does_not_match() -> None:
    messages = [assistant(call("c1")), user("m"), user(result("zz"))]
    assert paired(*messages, rules=TargetRules(needs_paired_results=False)) == messages


def test_system_note_between_turns_changes_nothing() -> None:
    note = Message("system", [Text("note")], system_kind="reminder")
    messages = paired(assistant(call("c1")), note, user(result("")))
    assert outline(messages) == [["call c1"], ["c1=r"], ["note"]]


def test_empty_messages_pass() -> None:
    assert paired(user(), rules=STRICT) == [user()]
    assert paired(user(), rules=IN_PLACE) == [user()]


def test_twenty_thousand_calls_of_one_id_take_no_time() -> None:
    count = 20_000
    turn = assistant(*(call("c") for _ in range(count)))
    messages = paired(turn, user(*(result("c", str(i)) for i in range(count))))
    assert outline(messages)[1][-1] == f"c_{count}={count - 1}"


_WORDS = st.builds(Text, st.sampled_from(["a", "b"]))
_IDS = st.sampled_from(["one", "two", "three", "two:", "four", "five", "six", ""])
_CALLS = st.builds(ToolCall, _IDS, st.sampled_from(["f", "g"]), st.just("{}"), st.sampled_from(CallKind))


@st.composite
def _rounds(draw: st.DrawFn) -> list[Message]:
    """Calls and their results, mostly as they should be."""
    messages: list[Message] = []
    for calls in draw(st.lists(st.lists(_CALLS, min_size=1, max_size=2), max_size=3)):
        messages.append(assistant(*draw(st.lists(_WORDS, max_size=1)), *calls))
        results = [result(call.id, name=draw(st.sampled_from(["", "f", "g"]))) for call in calls]
        if draw(st.integers(0, 7)) == 0:
            results = draw(st.permutations(results))[:1]
        messages.append(user(*results, *draw(st.lists(_WORDS, max_size=1))))
    return messages[: len(messages) - draw(st.integers(0, 1))]


@given(_rounds(), st.sampled_from([STRICT, IN_PLACE, IN_ORDER, CHARS, SHORT]))
def test_short_way_and_ledger_come_to_the_same_end(messages: list[Message], rules: TargetRules) -> None:
    """A result of no call changes nothing but that the conversation is not in order any more."""
    orphan = user(result("of nothing"))
    short, long = context(), context()
    assert paired(*messages, rules=rules, ctx=short) == paired(*messages, orphan, rules=rules, ctx=long)
    assert short.call_ids == long.call_ids
