"""The context of an exchange."""

from cliproxy.ir.context import MAX_NOTES
from support.factories import make_context


def test_names_and_ids_are_restored_where_they_were_changed() -> None:
    context = make_context(tool_names={"short": "a long name"}, call_ids={"c_1": "c:1"})
    assert context.client_tool_name("short") == "a long name"
    assert context.client_tool_name("other") == "other"
    assert context.client_call_id("c_1") == "c:1"
    assert context.client_call_id("c_2") == "c_2"


def test_notes_are_taken_once_and_are_bounded() -> None:
    context = make_context()
    for number in range(MAX_NOTES * 2):
        context.note("dropped logit_bias")
        context.note(f"dropped {number}")
    assert context.notes.count("dropped logit_bias") == 1
    assert len(context.notes) == MAX_NOTES


def test_ids_have_their_prefix_and_length() -> None:
    context = make_context()
    first, second = context.new_id("call_"), context.new_id("call_", 8)
    assert first.startswith("call_")
    assert len(first) == len("call_") + 24
    assert len(second) == len("call_") + 8
