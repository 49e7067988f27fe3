"""A checker for the streams of the Responses API, written from the public reference.

The grammar::

    stream   = created in_progress item* terminal | stream-so-far error failed
    item     = added (parts | thoughts | arguments | image)? done
    parts    = (part_added delta* annotation* text_done part_done)*         content_index counts up
    thoughts = (part_added delta* text_done part_done)*                     summary_index counts up
    terminal = completed | incomplete | failed                              exactly once, the last event

Every event repeats its name in its data and is numbered; ``output_index`` counts up as items open; only calls
may overlap; the terminal event repeats all finished items in order. Deltas add up to what ``done`` says.
"""

import typing
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent

from cliproxy.wire.jsontext import loads_object
from cliproxy.wire.sse import Frame, render

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
CALLS = {"function_call": "function_call_arguments", "custom_tool_call": "custom_tool_call_input"}
MODELS = {
    model.model_fields["type"].annotation.__args__[0]: model
    for model in typing.get_args(typing.get_args(ResponseStreamEvent)[0])
}
"""Event name → the official package's model of it."""


@define
class Item:
    """An item as far as it has been told."""

    kind: str
    id: str
    content: list[dict[str, Any]] = field(factory=list)
    summary: list[dict[str, Any]] = field(factory=list)
    open_part: dict[str, Any] | None = None
    said: str = ""
    whole: str | None = None
    annotations: list[Any] = field(factory=list)


class ResponsesGrammar:
    """Checks events one by one; any violation is an ``AssertionError``."""

    def __init__(self, *, typed: bool = True, ours: bool = True) -> None:
        self.typed = typed
        """Whether the official package must be able to read every event."""
        self.ours = ours
        """Whether the events are numbered as this project does it: without gaps."""
        self.number = 0
        self.state = "new"
        self.items: dict[int, Item] = {}
        self.open: set[int] = set()
        self.done: dict[int, dict[str, Any]] = {}

    def take(self, frame: Frame) -> None:
        event = loads_object(frame.data)
        name = event["type"]
        assert frame.event == name.encode()
        assert frame.raw == render(frame.data, frame.event)
        number = event["sequence_number"]
        is_next = number == self.number + 1 if self.ours else number > self.number
        assert is_next or (number == 0 and self.state == "new")
        self.number = number
        if self.typed:
            MODELS[name].model_validate(event)
        assert self.state != "over", f"{name} after the end"
        if name == "error":
            assert isinstance(event["message"], str)
            assert isinstance(event["code"], str)
            self.state = "error"
        elif name in TERMINAL:
            self.end(name, event["response"])
        elif name in {"response.created", "response.in_progress"}:
            self.begin(name, event["response"])
        else:
            assert self.state == "running", f"{name} while {self.state}"
            handler = getattr(self, name.removeprefix("response.").replace(".", "_"))
            handler(event)

    def begin(self, name: str, response: dict[str, Any]) -> None:
        assert response["status"] == "in_progress"
        assert response["output"] == []
        expected = {"response.created": "new", "response.in_progress": "created"}[name]
        assert self.state == expected
        self.state = {"new": "created", "created": "running"}[self.state]

    def end(self, name: str, response: dict[str, Any]) -> None:
        assert response["status"] == name.removeprefix("response.")
        assert (response["error"] is not None) == (name == "response.failed")
        if self.state != "error":
            assert self.state == "running"
            assert not self.open, "an item was left open"
        else:
            assert name == "response.failed"
        assert response["output"] == [self.done[index] for index in sorted(self.done)]
        self.state = "over"

    # items

    def output_item_added(self, event: dict[str, Any]) -> None:
        index, item = event["output_index"], event["item"]
        assert index == len(self.items), "output_index counts up"
        assert all(other.id != item.get("id") for other in self.items.values()) or "id" not in item
        for other in self.open:
            assert self.items[other].kind in CALLS, "only calls may overlap"
        self.items[index] = Item(item["type"], item.get("id", ""))
        self.open.add(index)

    def output_item_done(self, event: dict[str, Any]) -> None:
        index, wire = event["output_index"], event["item"]
        item = self.of(event, named=False)
        assert item.open_part is None
        assert wire["type"] == item.kind
        assert wire.get("id", "") == item.id
        if item.kind == "message":
            assert wire["content"] == item.content
            assert item.content, "a message without content"
        if item.kind == "reasoning":
            assert wire["summary"] == item.summary
        if item.kind in CALLS:
            assert wire["arguments" if item.kind == "function_call" else "input"] == item.whole
        self.open.remove(index)
        self.done[index] = wire

    def of(self, event: dict[str, Any], *kinds: str, named: bool = True) -> Item:
        index = event["output_index"]
        assert index in self.open, "the item is not open"
        item = self.items[index]
        assert not kinds or item.kind in kinds
        assert not named or event["item_id"] == item.id
        return item

    # messages

    def content_part_added(self, event: dict[str, Any]) -> None:
        item = self.of(event, "message")
        assert item.open_part is None
        assert event["content_index"] == len(item.content)
        part = event["part"]
        assert part.get("text", part.get("refusal")) == ""
        item.open_part, item.said, item.whole, item.annotations = part, "", None, []

    def part_of(self, event: dict[str, Any], kind: str) -> Item:
        item = self.of(event, "message")
        assert item.open_part is not None
        assert item.open_part["type"] == kind
        assert event["content_index"] == len(item.content)
        assert item.whole is None, "content after its end"
        return item

    def output_text_delta(self, event: dict[str, Any]) -> None:
        assert event["delta"]
        self.part_of(event, "output_text").said += event["delta"]

    def refusal_delta(self, event: dict[str, Any]) -> None:
        self.part_of(event, "refusal").said += event["delta"]

    def output_text_annotation_added(self, event: dict[str, Any]) -> None:
        item = self.part_of(event, "output_text")
        assert event["annotation_index"] == len(item.annotations)
        item.annotations.append(event["annotation"])

    def output_text_done(self, event: dict[str, Any]) -> None:
        item = self.part_of(event, "output_text")
        assert event["text"] == item.said
        item.whole = event["text"]

    def refusal_done(self, event: dict[str, Any]) -> None:
        item = self.part_of(event, "refusal")
        assert event["refusal"] == item.said
        item.whole = event["refusal"]

    def content_part_done(self, event: dict[str, Any]) -> None:
        item = self.of(event, "message")
        part = event["part"]
        assert item.open_part is not None
        assert part["type"] == item.open_part["type"]
        assert part.get("text", part.get("refusal")) == item.whole == item.said
        assert part.get("annotations", []) == item.annotations
        item.content.append(part)
        item.open_part = None

    # reasoning

    def reasoning_summary_part_added(self, event: dict[str, Any]) -> None:
        item = self.of(event, "reasoning")
        assert item.open_part is None
        assert event["summary_index"] == len(item.summary)
        item.open_part, item.said, item.whole = event["part"], "", None

    def reasoning_summary_text_delta(self, event: dict[str, Any]) -> None:
        item = self.of(event, "reasoning")
        assert item.open_part is not None
        assert event["summary_index"] == len(item.summary)
        item.said += event["delta"]

    def reasoning_summary_text_done(self, event: dict[str, Any]) -> None:
        item = self.of(event, "reasoning")
        assert item.open_part is not None
        assert event["text"] == item.said
        item.whole = event["text"]

    def reasoning_summary_part_done(self, event: dict[str, Any]) -> None:
        item = self.of(event, "reasoning")
        assert event["part"]["text"] == item.whole == item.said
        item.summary.append(event["part"])
        item.open_part = None

    # calls

    def arguments_delta(self, event: dict[str, Any], kind: str) -> None:
        item = self.of(event, kind)
        assert item.whole is None
        item.said += event["delta"]

    def arguments_done(self, event: dict[str, Any], kind: str, key: str) -> None:
        item = self.of(event, kind)
        assert item.said in {"", event[key]}, "the deltas do not add up"
        item.whole = event[key]

    def function_call_arguments_delta(self, event: dict[str, Any]) -> None:
        self.arguments_delta(event, "function_call")

    def function_call_arguments_done(self, event: dict[str, Any]) -> None:
        self.arguments_done(event, "function_call", "arguments")

    def custom_tool_call_input_delta(self, event: dict[str, Any]) -> None:
        self.arguments_delta(event, "custom_tool_call")

    def custom_tool_call_input_done(self, event: dict[str, Any]) -> None:
        self.arguments_done(event, "custom_tool_call", "input")

    # images

    def image_generation_call_partial_image(self, event: dict[str, Any]) -> None:
        item = self.of(event, "image_generation_call")
        assert event["partial_image_index"] == len(item.content)
        item.content.append({})

    def image_generation_call_completed(self, event: dict[str, Any]) -> None:
        self.of(event, "image_generation_call")


def check(frames: Sequence[Frame], *, typed: bool = True, ours: bool = True) -> dict[str, Any]:
    """Check a complete stream and return its last event."""
    grammar = ResponsesGrammar(typed=typed, ours=ours)
    for frame in frames:
        grammar.take(frame)
    assert grammar.state == "over", "no terminal event"
    last = loads_object(frames[-1].data)
    if typed:
        Response.model_validate(last["response"])
    return last
