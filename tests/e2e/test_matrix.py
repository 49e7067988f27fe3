"""The real server between the vendors' own packages and strict upstreams: every client on every upstream.

A test runs once for each client dialect and each upstream (see ``support.matrix``). It asserts on the objects
that the package built and on the requests that the upstream saw. After each of them the upstream must not
have refused anything, which it does for whatever its vendor would refuse, and the bytes that the package was
sent must fit the grammar of its vendor's documents, which the packages themselves do not insist on.

``test_matrix_tools`` is the other half; the end of the run shows both as a table.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import anthropic
import openai
import pytest
import trio
from google.genai import errors as genai_errors

from emulators.scenario import UNICODE_TEXT
from support.conversation import Counts, Wish
from support.matrix import (
    ANSWER_SCHEMA,
    CLIENTS,
    IMPOSSIBLE,
    PDF,
    PNG,
    STOPS,
    Cell,
    World,
)
from support.server import ROOT
from support.talks import TALKS

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


def raised(client: str, status: int) -> type[Exception]:
    return ERRORS["chat" if client == "responses" else client][status]


def test_what_cannot_be_is_documented() -> None:
    document = (ROOT / "docs" / "translation.md").read_text(encoding="utf-8")
    assert [each.reason for each in IMPOSSIBLE if each.reason not in document] == []


# --- text --------------------------------------------------------------------------------------------------


def test_text(cell: Cell) -> None:
    said = cell.talk().ask("Hello there")
    assert said.text == "You said: Hello there"
    assert cell.ended(said, "stop")
    assert said.id
    assert said.model == (cell.upstream.full_model or cell.upstream.model)
    assert said.counts is not None or cell.upstream_id == "duo-text"
    asked = cell.request()
    assert asked.texts == [("user", "Hello there")]
    assert asked.system == []
    assert asked.model == ("" if cell.upstream_id == "duo-text" else cell.asked_model)
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
    assert cell.ended(said, "stop")
    assert said.id
    assert said.counts is not None or cell.upstream_id == "duo-text"
    assert cell.request().is_streamed


def test_two_turns(cell: Cell) -> None:
    """What a package makes of an answer can be sent back."""
    talk = cell.talk()
    talk.ask("Hello there")
    talk.ask("And again", stream=True)
    talk.ask("And then")
    history = [
        ("user", "Hello there"),
        ("assistant", "You said: Hello there"),
        ("user", "And again"),
        ("assistant", "You said: And again"),
        ("user", "And then"),
    ]
    if cell.upstream_id == "duo-text":  # Duo Chat takes one question
        history = [history[1], history[3], history[4]]
    assert cell.requests()[2].texts == history


def test_system(cell: Cell) -> None:
    said = cell.talk(system="Be brief.").ask("Hello")
    assert said.text == "You said: Hello"
    assert cell.request().system == ["Be brief."]


@pytest.mark.parametrize("stream", [False, True])
def test_unicode(cell: Cell, stream: bool) -> None:
    """Line separators, bidirectional marks and NUL arrive both ways."""
    said = cell.talk(system=UNICODE_TEXT).ask("unicode", stream=stream)
    assert said.text == UNICODE_TEXT
    if cell.upstream_id != "duo-text" or not stream:  # Code Suggestions have no place for it
        assert cell.request().system == [UNICODE_TEXT]


def test_image(cell: Cell) -> None:
    said = cell.talk().ask("Look", png=PNG)
    assert said.text == "You said: Look [with image/png]"
    assert cell.request().media == [("image/png", PNG)]


def test_pdf(cell: Cell) -> None:
    said = cell.talk().ask("Read", pdf=PDF)
    assert said.text == "You said: Read [with application/pdf]"
    assert cell.request().media == [("application/pdf", PDF)]


# --- endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_max_tokens(cell: Cell, stream: bool) -> None:
    said = cell.talk(max_tokens=64).ask("max tokens", stream=stream)
    assert said.text == "This answer stops in the mid"
    assert cell.ended(said, "length")
    assert cell.request().limit == (None if cell.upstream_id == "responses" else 64)


@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequence(cell: Cell, stream: bool) -> None:
    cell.turn(blocks=[{"text": "up to"}], finish="stop_sequence", stop_sequence="END")
    said = cell.talk(stop=("END",)).ask("Go on", stream=stream)
    assert said.text == "up to"
    if cell.client == cell.upstream.dialect == "claude":
        assert (said.stop, said.stop_sequence) == ("stop_sequence", "END")
    else:
        assert said.stop in {STOPS[cell.client]["stop"], "stop_sequence"}
    assert cell.request().stop == ["END"]


@pytest.mark.parametrize("client", ["claude", "gemini"])
def test_stop_sequences_are_left_out_where_the_model_takes_none(running_world: World, client: str) -> None:
    """Of clients that cannot know; a client of the vendor's own dialect gets the vendor's own answer."""
    cell = Cell(running_world, client, "openai")
    assert cell.talk(stop=("END",)).ask("Hello").text == "You said: Hello"
    assert cell.request().stop == []
    cell.close()


def test_temperature(cell: Cell) -> None:
    if is_refused_temperature(cell):
        with pytest.raises(raised(cell.client, 400), match="temperature"):
            cell.talk(temperature=0.25).ask("Hello")
        trio.run(cell.emulator.forget)
        return
    cell.talk(temperature=0.25).ask("Hello")
    assert cell.request().temperature == (None if cell.upstream_id in TEMPERATURELESS else 0.25)


TEMPERATURELESS: Final = {
    *("openai", "claude-new", "responses"),
    *("duo-chat", "duo-responses", "duo-text"),
}


def is_refused_temperature(cell: Cell) -> bool:
    """Whether client and upstream settle it among themselves: a setting the model or API version refuses."""
    vendors = {"openai", "claude", "claude-new", "duo-claude", "duo-chat", "duo-responses"}
    return cell.is_native and cell.upstream_id in vendors


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
    assert cell.request().texts == [("user", "refuse")]


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
    cell.script({"turn": {"blocks": [{"text": "one two three four five six seven " * 3}]}, "error_after": 6})
    with pytest.raises(raised(cell.client, 0)) as caught:
        cell.talk().ask("Hello", stream=True)
    assert any(word in str(caught.value) for word in ("had an error", "verloaded", "model failed"))


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
    schema = cell.request().schema
    assert schema is not None
    assert schema["properties"].keys() == ANSWER_SCHEMA["properties"].keys()
    assert schema["required"] == ANSWER_SCHEMA["required"]
