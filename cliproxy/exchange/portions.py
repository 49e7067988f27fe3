"""Answers that come in portions: asking for the rest, and putting them together.

A client may ask for more at once than an upstream of another dialect takes or gives: four pictures of one
that draws one at a time, a thousand embeddings of one that takes a hundred texts. The first answer then holds
a portion, which says how large the others will be. They are asked for a few at a time, each by attempts of
its own, and joined in order. One that fails fails the whole: half of what was asked for would be taken for
all.

A portion answered by another account may come from its upstream as it is, so all of this sees the client's
own wire.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import evolve, field, frozen

from cliproxy.dialects.base import ClientRequest, Portions
from cliproxy.errors import ProxyError, UpstreamError
from cliproxy.ir.response import Usage
from cliproxy.routing.classify import broken_answer
from cliproxy.wire.http import Headers
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.veil import Veil

AT_ONCE: Final = 4
"""How many portions are asked for at the same time."""
_COUNTS: Final = ("fresh_input", "cache_read", "cache_write", "output", "reasoning", "reported_total")


@frozen(kw_only=True)
class Answer:
    """An answer in one body, in the client's dialect."""

    body: bytes = field(repr=False)
    headers: Headers = field(factory=Headers)
    """The upstream's headers."""
    veil: Veil = field(factory=Veil, repr=False)
    """Over what they may quote."""
    status: int = 200
    usage: Usage = field(factory=Usage)
    portions: Portions | None = None
    """How to put the answer together if it may be a portion of it; ``None``: it is whole."""


Ask = Callable[[ClientRequest], Awaitable[Answer]]


async def completed(request: ClientRequest, first: Answer, ask: Ask) -> Answer:
    """Return the whole of which ``first`` may be a portion. Raises :class:`~cliproxy.errors.ProxyError`."""
    portions = first.portions
    if portions is None:
        await trio.lowlevel.checkpoint()
        return first
    head = loads_object(first.body)
    wanted, size = portions.wanted(request.document.value), portions.given(head)
    starts = range(size, wanted, size) if size else ()
    if not starts:
        await trio.lowlevel.checkpoint()
        return first
    rest = await _asked([_portion(request, portions, at, min(size, wanted - at)) for at in starts], ask)
    answers = [head, *(loads_object(answer.body) for answer in rest)]
    if sum(portions.given(answer) for answer in answers) != wanted:
        raise UpstreamError([broken_answer("the upstream gave another number of answers than was asked for")])
    usage = _sum([first.usage, *(answer.usage for answer in rest)])
    return evolve(first, body=dumps(portions.joined(answers)), usage=usage, portions=None)


def _portion(request: ClientRequest, portions: Portions, start: int, size: int) -> ClientRequest:
    changes = portions.only(request.document.value, start, size)
    return evolve(request, document=request.document.changed(changes))


async def _asked(requests: list[ClientRequest], ask: Ask) -> list[Answer]:
    """Ask for all portions, a few at a time; the first error ends the others."""
    answers: dict[int, Answer] = {}
    errors: list[ProxyError] = []
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int, request: ClientRequest) -> None:
        async with limiter:
            try:
                answers[number] = await ask(request)
            except ProxyError as exc:
                errors.append(exc)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number, request in enumerate(requests):
            nursery.start_soon(one, number, request)
    if errors:
        raise errors[0]
    return [answers[number] for number in range(len(requests))]


def _sum(parts: list[Usage]) -> Usage:
    """Add up what the portions cost; what none of them said stays unsaid."""
    total = Usage()
    for name in _COUNTS:
        counts = [count for part in parts if (count := getattr(part, name)) is not None]
        setattr(total, name, sum(counts) if counts else None)
    return total
