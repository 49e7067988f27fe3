"""The intermediate representation of an answer: parts, finish reason and usage.

:class:`Usage` keeps *disjoint* counts. The dialects disagree on what includes what (Claude's ``input_tokens``
excludes cached tokens, everyone else's includes them; OpenAI's completion count includes reasoning, Gemini's
candidate count does not), so decoders split the wire's numbers into disjoint ones and encoders derive their
own totals. Nothing is counted twice and nothing is lost, whatever the pair.
"""

from enum import StrEnum

from attrs import define, evolve, field

from cliproxy.ir.request import Extras, Part


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    ERROR = "error"
    CANCELLED = "cancelled"


@define
class Usage:
    """Disjoint token counts; ``None`` means the upstream did not say."""

    fresh_input: int | None = None
    """Prompt tokens neither read from nor written to a cache."""
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    """Generated tokens without those counted as reasoning."""
    reasoning: int | None = None
    reported_total: int | None = None
    """The upstream's own total, when it gave one."""
    extras: Extras = field(factory=dict)
    """What else a dialect says of the cost: counts that are part of those above, prices, durations."""

    @property
    def input_total(self) -> int:
        """All prompt tokens."""
        return (self.fresh_input or 0) + (self.cache_read or 0) + (self.cache_write or 0)

    @property
    def output_total(self) -> int:
        """All generated tokens."""
        return (self.output or 0) + (self.reasoning or 0)

    @property
    def total(self) -> int:
        """Prompt and generated tokens together."""
        return self.input_total + self.output_total

    def merged(self, newer: "Usage") -> "Usage":
        """Return the record in which what ``newer`` says replaces what was known."""
        return Usage(
            fresh_input=self.fresh_input if newer.fresh_input is None else newer.fresh_input,
            cache_read=self.cache_read if newer.cache_read is None else newer.cache_read,
            cache_write=self.cache_write if newer.cache_write is None else newer.cache_write,
            output=self.output if newer.output is None else newer.output,
            reasoning=self.reasoning if newer.reasoning is None else newer.reasoning,
            reported_total=self.reported_total if newer.reported_total is None else newer.reported_total,
            extras={**self.extras, **newer.extras},
        )


@define
class Ending:
    """The finish reason with what the upstream said literally."""

    reason: FinishReason
    native: str = ""
    """The upstream's own word."""
    stop_sequence: str | None = None


@define
class Choice:
    """One of the alternatives an upstream may return; index 0 is the only one in most dialects."""

    parts: list[Part]
    ending: Ending
    index: int = 0
    extras: Extras = field(factory=dict)


def numbered(choices: list[Choice]) -> list[Choice]:
    """Return alternatives in the order of their indexes; by their places, where two have the same."""
    if len({choice.index for choice in choices}) == len(choices):
        return sorted(choices, key=lambda choice: choice.index)
    return [evolve(choice, index=number) for number, choice in enumerate(choices)]


@define(kw_only=True)
class IRResponse:
    """A complete answer."""

    id: str
    model: str
    choices: list[Choice]
    usage: Usage = field(factory=Usage)
    created: int = 0
    """Unix seconds."""
    extras: Extras = field(factory=dict)
