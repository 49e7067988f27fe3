"""The parts items are made of. The encoder's tests cover their events."""

import pytest

from cliproxy.dialects.openai_responses.output import ItemIds, client_names, delta_head, unwrapped
from cliproxy.ir.events import BlockKind, BlockStart
from support.factories import make_context


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"ab"}', "ab"),
        ('"ab"', "ab"),
        ('{"input":3}', '{"input":3}'),
        ('{"other":"x"}', '{"other":"x"}'),
        ("*** Begin Patch", "*** Begin Patch"),
        ("", ""),
        ("[1]", "[1]"),
    ],
)
def test_free_text_is_taken_out_of_its_wrapping(arguments, text):
    assert unwrapped(arguments) == text


def test_ids_have_the_form_of_their_type():
    ids = ItemIds("abc")
    assert ids.take("message", "") == "msg_abc_0"
    assert ids.take("message", "") == "msg_abc_1"
    assert ids.take("function_call", "", "call_1") == "fc_call_1"
    assert ids.take("function_call", "fc_own", "call_2") == "fc_own"
    assert ids.take("reasoning", "wrong") == "rs_abc_4"
    assert ids.take("something", "") == "item_abc_5"


@pytest.mark.parametrize(
    ("kind", "custom", "expected"),
    [
        (BlockKind.TOOL_CALL, set(), ("function_call", False)),
        (BlockKind.TOOL_CALL, {"f"}, ("custom_tool_call", True)),
        (BlockKind.CUSTOM_TOOL_CALL, set(), ("custom_tool_call", False)),
        (BlockKind.CUSTOM_TOOL_CALL, {"f"}, ("custom_tool_call", False)),
    ],
)
def test_kind_of_a_call_is_that_of_the_clients_tool(kind, custom, expected):
    names = client_names(BlockStart(0, kind, call_id="c", name="f"), make_context(custom_tools=custom))
    assert (names.kind, names.is_wrapped) == expected


def test_head_of_deltas_is_rendered_once():
    head = delta_head("response.x.delta", {"item_id": "i"})
    assert head.kind == b"response.x.delta"
    assert head.data == b'{"type":"response.x.delta","item_id":"i","sequence_number":'
