"""Nodes with one thing changed: nothing else of them may be lost, whatever fields are added."""

import attrs
from hypothesis import given

from cliproxy.ir.request import CacheMark, CallKind, Family, Message, Signature, Text, ToolCall, ToolResult
from support import ir_strategies

CALL = ToolCall(
    "call_1",
    "f",
    "{}",
    CallKind.CUSTOM,
    Signature("s", Family.GEMINI),
    "namespace",
    "fc_1",
    CacheMark({"type": "ephemeral"}),
    {"claude": {"a": 1}},
    {"v": 1},
)
RESULT = ToolResult(
    "other", [Text("said")], {"v": 1}, "g", True, CallKind.FUNCTION, "fc_2", CALL.cache, {"openai": {"b": 2}}
)


def test_every_field_of_these_nodes_is_set() -> None:
    """Otherwise the tests below would not see one that is lost."""
    for node in (CALL, RESULT):
        for field in attrs.fields(type(node)):
            if field.default is not attrs.NOTHING and field.name != "kind":
                assert getattr(node, field.name) not in (None, "", [], {}), field.name


def test_a_call_with_another_id() -> None:
    assert CALL.known_as("call_2") == attrs.evolve(CALL, id="call_2")
    assert CALL.known_as("call_2").written is CALL.written


def test_a_result_belongs_to_its_call() -> None:
    answer = RESULT.answering(CALL)
    assert answer == attrs.evolve(RESULT, call_id="call_1", kind=CallKind.CUSTOM)
    assert attrs.evolve(RESULT, name="").answering(CALL).name == "f"


@given(ir_strategies.conversations())
def test_a_message_with_other_parts(messages: list[Message]) -> None:
    for message in messages:
        assert message.saying([]) == attrs.evolve(message, parts=[])
