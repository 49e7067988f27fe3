"""Tools and thinking, for every client on every upstream: calls, results, and what was thought between them.

The second half of the matrix; ``test_matrix`` has the rest and says how it works.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Final

import pytest

from emulators.scenario import THOUGHTS
from emulators.signing import claude_signature, gemini_signature, openai_encrypted
from support.conversation import Given
from support.matrix import CLIENTS, CLOCK, WEATHER, Cell, World

# --- tools -------------------------------------------------------------------------------------------------


def test_tool_round_trip(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    first = talk.ask("Please use the tool", stream=True)
    assert cell.ended(first, "tool_calls")
    (call,) = first.calls
    assert call.name == "get_weather"
    assert call.arguments == {"city": "sample city", "days": 1}
    talk.give([Given(call, "21 degrees \u2028 and sunny")])
    second = talk.answer()
    assert second.text == "The tool said: 21 degrees \u2028 and sunny"
    assert cell.ended(second, "stop")
    (again,) = talk.ask("Please use the tool once more").calls
    talk.give([Given(again, "22 degrees")])
    assert talk.answer(stream=True).text == "The tool said: 22 degrees"
    asked, *_, last = cell.requests()
    assert asked.tools["get_weather"]["properties"].keys() == {"city", "days"}
    assert asked.tools["get_weather"]["required"] == ["city"]
    assert last.calls == [("get_weather", {"city": "sample city", "days": 1})] * 2
    assert last.results == [
        ("get_weather", "21 degrees \u2028 and sunny"),
        ("get_weather", "22 degrees"),
    ]


def test_streamed_tool_call(cell: Cell) -> None:
    """Arguments arrive piece by piece where the dialect and the upstream have pieces."""
    arguments = {"city": "Llanfairpwllgwyngyll", "days": 3}
    cell.turn(blocks=[{"call": "get_weather", "arguments": arguments}])
    talk = cell.talk(tools=(WEATHER,))
    talk.say("Go on")
    name, pieces = talk.call_in_pieces()
    assert name == "get_weather"
    assert json.loads("".join(pieces)) == arguments
    assert len(pieces) > 3 or "gemini" in {cell.client, cell.upstream.dialect}
    asked = cell.request()
    assert asked.is_streamed
    assert asked.tools.keys() == {"get_weather"}


def test_parallel_tools(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER, CLOCK))
    first = talk.ask("parallel please", stream=True)
    calls = {call.name: call for call in first.calls}
    assert calls["get_weather"].arguments == {"city": "sample city", "days": 1}
    assert calls["get_time"].arguments == {"zone": "UTC"}
    assert cell.client == "gemini" or calls["get_weather"].id != calls["get_time"].id
    talk.give([Given(calls["get_weather"], "rain"), Given(calls["get_time"], "noon")])
    assert talk.answer(stream=True).text == "The tool said: rain; noon"
    asked, answered = cell.requests()
    assert asked.tools.keys() == {"get_weather", "get_time"}
    assert asked.tools["get_time"]["properties"]["zone"]["enum"] == ["UTC", "CET"]
    assert answered.results == [("get_weather", "rain"), ("get_time", "noon")]


def test_parallel_calls_of_one_tool(cell: Cell) -> None:
    """Answered in the opposite order, results still belong to their calls."""
    talk = cell.talk(tools=(WEATHER,))
    cities = ("Oslo", "Rome")
    cell.turn(blocks=[{"call": "get_weather", "arguments": {"city": city}} for city in cities])
    first, second = talk.ask("Compare").calls
    assert (first.arguments, second.arguments) == ({"city": "Oslo"}, {"city": "Rome"})
    given = [Given(first, "cold"), Given(second, "warm")]
    talk.give(given if cell.client == "gemini" else reversed(given))
    said = talk.answer()
    assert said.text in {"The tool said: cold; warm", "The tool said: warm; cold"}
    answered = cell.requests()[1]
    assert answered.calls == [("get_weather", {"city": city}) for city in cities]
    assert sorted(answered.results) == [("get_weather", "cold"), ("get_weather", "warm")]


def test_tool_error(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    (call,) = talk.ask("Please use the tool").calls
    talk.give([Given(call, "no such city", is_error=True)])
    assert "no such city" in talk.answer().text
    answered = cell.requests()[1]
    assert answered.results == [("get_weather", "no such city")]
    assert answered.errors == ({cell.client, cell.upstream.dialect} <= {"claude", "gemini"})


@pytest.mark.parametrize("stream", [False, True])
def test_forced_tool(cell: Cell, stream: bool) -> None:
    said = cell.talk(tools=(CLOCK, WEATHER), force="get_weather").ask("Hello", stream=stream)
    assert [call.name for call in said.calls] == ["get_weather"]
    asked = cell.request()
    assert asked.tools.keys() == {"get_weather", "get_time"}
    assert asked.forced == "get_weather"


def test_text_before_a_call(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    first = talk.ask("Please use the tool with a preamble", stream=True)
    assert first.text == "Let me look that up for you."
    talk.give([Given(first.calls[0], "ok")])
    assert talk.answer().text == "The tool said: ok"
    assert cell.requests()[1].texts[1:] == [("assistant", "Let me look that up for you.")]


# --- thinking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_thinking(cell: Cell, stream: bool) -> None:
    said = cell.talk(thinks=True).ask("think hard", stream=stream)
    assert said.thoughts == THOUGHTS
    assert said.text == "You said: think hard"
    assert cell.request().thinks


@pytest.mark.parametrize(
    ("client", "upstream", "form"),
    [
        ("claude", "claude", {"adaptive": True}),
        ("claude", "claude-new", {"adaptive": False}),
        ("gemini", "gemini", {"leveled": True}),
        ("gemini", "gemini-new", {"leveled": False}),
    ],
)
def test_thinking_asked_for_in_the_form_of_another_generation(
    running_world: World, client: str, upstream: str, form: dict[str, bool]
) -> None:
    """The vendor would refuse it; a client that was pointed at another model by an alias cannot know."""
    cell = Cell(running_world, client, upstream)
    said = cell.talk(thinks=True, **form).ask("think hard", stream=True)
    assert said.thoughts == THOUGHTS
    cell.close()


PROOFS: Final[Mapping[str, str]] = {
    "claude": claude_signature(THOUGHTS),
    "claude-new": claude_signature(THOUGHTS),
    "gemini-new": gemini_signature('get_weather{"city":"sample city","days":1}')[:10],
    "responses": openai_encrypted(THOUGHTS),
    "duo-claude": claude_signature(THOUGHTS),
    "duo-responses": openai_encrypted(THOUGHTS),
}
"""Upstream → what must come back to it of its own thoughts; chat has no place for any but Gemini's."""


def test_thinking_and_a_tool(cell: Cell) -> None:
    """What was thought before a call goes back with the results, as far as the client's package keeps it."""
    talk = cell.talk(thinks=True, tools=(WEATHER,))
    first = talk.ask("think and use the tool", stream=True)
    (call,) = first.calls
    talk.give([Given(call, "21 degrees")])
    second = talk.answer(stream=True)
    assert second.text == "The tool said: 21 degrees"
    if cell.upstream_id in PROOFS:
        can_keep = cell.client != "chat" or cell.upstream.dialect == "gemini"
        assert (PROOFS[cell.upstream_id] in json.dumps(cell.log()[1].body)) == can_keep
    talk.say("think and use the tool once more")
    third = talk.answer()
    assert third.calls
    assert all(asked.thinks for asked in cell.requests()[::2])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("old", "new"),
    list(itertools.permutations(("compatible", "claude", "claude-new", "gemini-new", "responses"), 2)),
)
def test_moving_to_another_upstream(running_world: World, client: str, old: str, new: str) -> None:
    """A conversation goes on with another vendor's model, although nobody takes anybody else's signatures."""
    start, goal = Cell(running_world, client, old), Cell(running_world, client, new)
    talk = start.talk(thinks=True, tools=(WEATHER,))
    (call,) = talk.ask("think and use the tool", stream=True).calls
    talk.give([Given(call, "21 degrees")])
    talk.wish = goal.talk(thinks=True, tools=(WEATHER,)).wish
    assert talk.answer().text == "The tool said: 21 degrees"
    (call,) = talk.ask("think and use the tool once more").calls
    talk.give([Given(call, "22 degrees")])
    talk.wish = start.talk(thinks=True, tools=(WEATHER,)).wish
    assert talk.answer(stream=True).text == "The tool said: 22 degrees"
    start.close()
    goal.close()
