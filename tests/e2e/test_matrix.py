"""The real server between the vendors' own packages and strict upstreams: every client on every upstream.

A test runs once for each client dialect and each upstream (see ``support.matrix``). It asserts on the objects
that the package built and on the requests that the upstream saw; and after each of them the upstream must not
have refused anything, which it does for whatever its vendor would refuse.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import anthropic
import openai
import pytest
import trio
from google.genai import errors as genai_errors

from emulators.scenario import THOUGHTS, UNICODE_TEXT
from emulators.signing import claude_signature, gemini_signature, openai_encrypted
from support.conversation import Counts, Given, Said, Wish
from support.matrix import (
    ANSWER_SCHEMA,
    CLIENTS,
    CLOCK,
    IMPOSSIBLE,
    PNG,
    UPSTREAMS,
    WEATHER,
    Cell,
    World,
    is_possible,
    world,
)
from support.server import ROOT
from support.talks import TALKS

STOPS: Final[Mapping[str, Mapping[str, str]]] = {
    "chat": {"stop": "stop", "length": "length", "tool_calls": "tool_calls"},
    "responses": {
        "stop": "completed",
        "length": "incomplete: max_output_tokens",
        "tool_calls": "completed",
    },
    "claude": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"},
}
"""Client → why an answer ended → its word for it."""

ERRORS: Final[Mapping[str, Mapping[int, type[Exception]]]] = {
    "chat": {
        0: openai.APIError,
        400: openai.BadRequestError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
        502: openai.InternalServerError,
    },
    "claude": {
        0: anthropic.APIStatusError,
        400: anthropic.BadRequestError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
        502: anthropic.InternalServerError,
    },
    "gemini": {
        0: genai_errors.APIError,
        400: genai_errors.ClientError,
        404: genai_errors.ClientError,
        429: genai_errors.ClientError,
        502: genai_errors.ServerError,
    },
}
"""Client → status → what its package raises; 0 for an error in the middle of a stream."""


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("matrix")) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        name = metafunc.function.__name__.removeprefix("test_")
        pairs = [(c, u) for c in CLIENTS for u in UPSTREAMS if is_possible(name, c, u)]
        metafunc.parametrize("cell", pairs, ids=[f"{c}>{u}" for c, u in pairs], indirect=True)


@pytest.fixture
def cell(request: pytest.FixtureRequest, running_world: World) -> Iterator[Cell]:
    started = Cell(running_world, *request.param)
    yield started
    started.close()


def ended(said: Said, cell: Cell, reason: str) -> bool:
    """Whether an answer ended for a reason, in the client's word for it."""
    return said.stop == STOPS[cell.client][reason]


def raised(client: str, status: int) -> type[Exception]:
    return ERRORS["chat" if client == "responses" else client][status]


def test_what_cannot_be_is_documented() -> None:
    document = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert [reason for reason in IMPOSSIBLE.values() if reason not in document] == []


# --- text --------------------------------------------------------------------------------------------------


def test_text(cell: Cell) -> None:
    said = cell.talk().ask("Hello there")
    assert said.text == "You said: Hello there"
    assert ended(said, cell, "stop")
    assert said.id
    assert said.model == (cell.upstream.full_model or cell.upstream.model)
    assert said.counts is not None
    if cell.upstream.dialect == "claude":
        version = "2023-06-01" if cell.client != "claude" else anthropic_version()
        assert cell.log()[0].header("anthropic-version") == version


def anthropic_version() -> str:
    """The version of the API that the package asks for: it comes from the client on its own routes."""
    with anthropic.Anthropic(api_key="unused") as client:
        return str(client.default_headers["anthropic-version"])


def test_streamed_text(cell: Cell) -> None:
    said = cell.talk().ask("Please be long 40", stream=True)
    assert said.text.split() == [f"word{number}" for number in range(40)]
    assert ended(said, cell, "stop")
    assert said.id
    assert said.counts is not None


def test_two_turns(cell: Cell) -> None:
    """What a package makes of an answer can be sent back."""
    talk = cell.talk()
    talk.ask("Hello there")
    talk.ask("And again", stream=True)
    said = talk.ask("inspect")
    roles = json.loads(said.text)["roles"]
    assert [role.replace("model", "assistant") for role in roles if role not in {"system", "developer"}] == [
        *("user", "assistant"),
        *("user", "assistant"),
        "user",
    ]


def test_system(cell: Cell) -> None:
    said = cell.talk(system="Be brief.").ask("inspect")
    assert json.loads(said.text)["system"] == "Be brief."


@pytest.mark.parametrize("stream", [False, True])
def test_unicode(cell: Cell, stream: bool) -> None:
    """Line separators, bidirectional marks and NUL arrive both ways."""
    said = cell.talk(system=UNICODE_TEXT).ask("unicode", stream=stream)
    assert said.text == UNICODE_TEXT
    back = cell.talk(system=f"({UNICODE_TEXT})").ask("inspect")
    assert json.loads(back.text)["system"] == f"({UNICODE_TEXT})"


def test_image(cell: Cell) -> None:
    said = cell.talk().ask("Look", png=PNG)
    assert said.text == "You said: Look [with image/png]"


# --- tools -------------------------------------------------------------------------------------------------


def test_tool_round_trip(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    first = talk.ask("Please use the tool", stream=True)
    assert ended(first, cell, "tool_calls")
    (call,) = first.calls
    assert call.name == "get_weather"
    assert call.arguments == {"city": "sample city", "days": 1}
    talk.give([Given(call, "21 degrees \u2028 and sunny")])
    second = talk.answer()
    assert second.text == "The tool said: 21 degrees \u2028 and sunny"
    assert ended(second, cell, "stop")


def test_parallel_tools(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER, CLOCK))
    first = talk.ask("parallel please", stream=True)
    calls = {call.name: call for call in first.calls}
    assert calls["get_weather"].arguments == {"city": "sample city", "days": 1}
    assert calls["get_time"].arguments == {"zone": "UTC"}
    assert cell.client == "gemini" or calls["get_weather"].id != calls["get_time"].id
    talk.give([Given(calls["get_weather"], "rain"), Given(calls["get_time"], "noon")])
    assert talk.answer(stream=True).text == "The tool said: rain; noon"


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


def test_tool_error(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    (call,) = talk.ask("Please use the tool").calls
    talk.give([Given(call, "no such city", is_error=True)])
    assert "no such city" in talk.answer().text
    if {cell.client, cell.upstream.dialect} <= {"claude", "gemini"}:
        assert says_error(cell.log()[-1].body)


def says_error(body: dict[str, Any]) -> bool:
    """Whether a Claude or Gemini request marks its newest tool result as an error."""
    if "messages" in body:
        return any(block.get("is_error") for block in body["messages"][-1]["content"])
    return any("error" in part["functionResponse"]["response"] for part in body["contents"][-1]["parts"])


@pytest.mark.parametrize("stream", [False, True])
def test_forced_tool(cell: Cell, stream: bool) -> None:
    said = cell.talk(tools=(CLOCK, WEATHER), force="get_weather").ask("Hello", stream=stream)
    assert [call.name for call in said.calls] == ["get_weather"]


def test_text_before_a_call(cell: Cell) -> None:
    talk = cell.talk(tools=(WEATHER,))
    first = talk.ask("Please use the tool with a preamble", stream=True)
    assert first.text == "Let me look that up for you."
    talk.give([Given(first.calls[0], "ok")])
    assert talk.answer().text == "The tool said: ok"


# --- thinking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_thinking(cell: Cell, stream: bool) -> None:
    said = cell.talk(thinks=True).ask("think hard", stream=stream)
    assert said.thoughts == THOUGHTS
    assert said.text == "You said: think hard"


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


# --- endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_max_tokens(cell: Cell, stream: bool) -> None:
    said = cell.talk(max_tokens=64).ask("max tokens", stream=stream)
    assert said.text == "This answer stops in the mid"
    assert ended(said, cell, "length")
    assert limit_in(cell.body()) == (None if cell.upstream_id == "responses" else 64)


def limit_in(body: dict[str, Any]) -> int | None:
    """The limit an upstream was told."""
    places = (body, body.get("generationConfig", {}))
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
    told = [place[name] for place in places for name in names if name in place]
    assert len(told) <= 1
    return told[0] if told else None


@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequence(cell: Cell, stream: bool) -> None:
    cell.turn(blocks=[{"text": "up to"}], finish="stop_sequence", stop_sequence="END")
    said = cell.talk(stop=("END",)).ask("Go on", stream=stream)
    assert said.text == "up to"
    if cell.client == cell.upstream.dialect == "claude":
        assert (said.stop, said.stop_sequence) == ("stop_sequence", "END")
    else:
        assert said.stop in {STOPS[cell.client]["stop"], "stop_sequence"}
    body = cell.body()
    told = (
        body.get("stop"),
        body.get("stop_sequences"),
        body.get("generationConfig", {}).get("stopSequences"),
    )
    assert ["END"] in told


@pytest.mark.parametrize("client", ["claude", "gemini"])
def test_stop_sequences_are_left_out_where_the_model_takes_none(running_world: World, client: str) -> None:
    """Of clients that cannot know; a client of the vendor's own dialect gets the vendor's own answer."""
    cell = Cell(running_world, client, "openai")
    assert cell.talk(stop=("END",)).ask("Hello").text == "You said: Hello"
    assert "stop" not in cell.body()
    cell.close()


def test_temperature(cell: Cell) -> None:
    if is_refused_temperature(cell):
        with pytest.raises(raised(cell.client, 400), match="temperature"):
            cell.talk(temperature=0.25).ask("Hello")
        trio.run(cell.emulator.reset)
        return
    cell.talk(temperature=0.25).ask("Hello")
    told = cell.body().get("generationConfig", cell.body()).get("temperature")
    assert told == (None if cell.upstream_id in {"openai", "claude-new", "responses"} else 0.25)


def is_refused_temperature(cell: Cell) -> bool:
    """Whether client and upstream settle it among themselves: a setting the model or API version refuses."""
    return cell.is_native and cell.upstream_id in {"openai", "claude", "claude-new"}


@pytest.mark.parametrize("stream", [False, True])
def test_refusal(cell: Cell, stream: bool) -> None:
    said = cell.talk().ask("refuse", stream=stream)
    text = "" if cell.upstream.dialect == "gemini" else "I can't help with that."
    assert text in {said.text, said.refusal}
    match cell.client:
        case "chat":
            assert said.stop == "content_filter" or (said.stop == "stop" and said.refusal)
        case "responses":
            assert said.stop == "incomplete: content_filter" or (said.stop == "completed" and said.refusal)
        case "claude":
            assert said.stop == "refusal"
        case "gemini":
            assert said.stop == "SAFETY"


@pytest.mark.parametrize("stream", [False, True])
def test_empty_answer(cell: Cell, stream: bool) -> None:
    """Saying nothing at all is a fault of the upstream, not an answer."""
    with pytest.raises(raised(cell.client, 502), match="empty"):
        cell.talk().ask("empty", stream=stream)


# --- counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_usage(cell: Cell, stream: bool) -> None:
    """Input 100 with 40 from the cache, output 50 with 20 for thinking: the same in everybody's own sums."""
    counted = {"input": 100, "cache_read": 40, "output": 50, "reasoning": 20}
    writes = 10 if cell.upstream.dialect == "claude" else 0
    cell.turn(blocks=[{"text": "ok"}], usage={**counted, "cache_write": writes})
    said = cell.talk(thinks=True).ask("Hello", stream=stream)
    assert said.counts == expected_counts(cell.client, writes, said.counts)


def expected_counts(client: str, writes: int, found: Counts | None) -> Counts:
    written = writes or (found.cache_write if found is not None and not found.cache_write else 0)
    match client:
        case "claude":
            return Counts(input=60 - writes, cache_read=40, cache_write=written, output=50, reasoning=20)
        case "gemini":
            return Counts(input=100, cache_read=40, output=30, reasoning=20, total=150)
        case _:
            return Counts(input=100, cache_read=40, cache_write=written, output=50, reasoning=20, total=150)


# --- errors ------------------------------------------------------------------------------------------------


def test_error_in_the_middle(cell: Cell) -> None:
    cell.script({"turn": {"blocks": [{"text": "one two three four five six seven"}]}, "error_after": 6})
    with pytest.raises(raised(cell.client, 0)) as caught:
        cell.talk().ask("Hello", stream=True)
    assert any(word in str(caught.value) for word in ("had an error", "verloaded"))


@pytest.mark.parametrize("stream", [False, True])
def test_rate_limit(cell: Cell, stream: bool) -> None:
    cell.script({"status": 429, "retry_after": 7})
    with pytest.raises(raised(cell.client, 429)) as caught:
        cell.talk().ask("Hello", stream=stream)
    assert status_of(caught.value) == 429
    assert caught.value.response.headers["retry-after"] == "7"
    assert len(cell.log()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_bad_request(cell: Cell, stream: bool) -> None:
    cell.script({"status": 400, "message": "The prompt displeases me."})
    with pytest.raises(raised(cell.client, 400), match="The prompt displeases me") as caught:
        cell.talk().ask("Hello", stream=stream)
    assert status_of(caught.value) == 400
    assert len(cell.log()) == 1


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model(running_world: World, client: str, stream: bool) -> None:
    talk = TALKS[client](running_world.clients, Wish(model="nobody-knows-me"))
    with pytest.raises(raised(client, 404), match="nobody-knows-me") as caught:
        talk.ask("Hello", stream=stream)
    assert status_of(caught.value) == 404


def status_of(error: Any) -> int:
    """The HTTP status an exception of one of the packages carries."""
    return error.code if isinstance(error, genai_errors.APIError) else error.status_code


# --- structured output -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_json_schema(cell: Cell, stream: bool) -> None:
    said = cell.talk(schema=ANSWER_SCHEMA).ask("Rate it", stream=stream)
    assert json.loads(said.text) == {"title": "sample title", "tags": ["sample tags"], "stars": 7}
