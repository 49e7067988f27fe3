"""Ids and the names of tools in namespaces."""

import pytest

from cliproxy.dialects.openai_responses.names import flattened, is_usable_id, item_type, split_name
from support.factories import make_context


@pytest.mark.parametrize(
    ("namespace", "child", "expected"),
    [
        ("fs", "read", "fs__read"),
        ("mcp__x__", "y", "mcp__x__y"),
        ("n", "mcp__z__q", "mcp__z__q"),
        ("fs", "fs__read", "fs__read"),
        ("", "read", "read"),
    ],
)
def test_namespace_and_child_make_one_name(namespace, child, expected):
    assert flattened(namespace, child) == expected


def test_declared_names_are_split_as_they_were_joined():
    ctx = make_context(namespaces={"mcp__z__q": ("n", "mcp__z__q")})
    assert split_name("mcp__z__q", "", ctx) == ("n", "mcp__z__q")


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("fs__read", "fs", ("fs", "read")),
        ("mcp__x__y", "mcp__x__", ("mcp__x__", "y")),
        ("read", "", ("", "read")),
        ("other", "fs", ("fs", "other")),
    ],
)
def test_undeclared_names_lose_the_prefix_of_their_namespace(name, namespace, expected):
    assert split_name(name, namespace, make_context()) == expected


@pytest.mark.parametrize(
    ("kind", "item_id", "usable"),
    [
        ("message", "msg_1", True),
        ("message", "item_1", False),
        ("function_call", "fc_" + "x" * 61, True),
        ("function_call", "fc_" + "x" * 62, False),
        ("function_call_output", "fco_1", True),
        ("function_call_output", "call_1", False),
        ("web_search_call", "anything", True),
        ("reasoning", "", False),
    ],
)
def test_ids_that_an_upstream_accepts(kind, item_id, usable):
    assert is_usable_id(kind, item_id) is usable


def test_type_of_an_item():
    assert item_type({"type": "reasoning"}) == "reasoning"
    assert item_type({"role": "user"}) == "message"
    assert item_type({}) == ""
