"""Whole answers: ``{"created", "data": [{"b64_json"}], "usage"}``.

A model of another dialect may answer a request for a picture with words, or with nothing, and say why. That
is an error for the client, with the words in it, and no fault of the account: nobody else is asked.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from cliproxy.dialects.base import Glimpse, Portions
from cliproxy.dialects.openai_chat.errors import decode_error
from cliproxy.dialects.openai_chat.outcome import decode_usage
from cliproxy.dialects.openai_images.request import wanted
from cliproxy.errors import BadRequest, DialectError, Kind
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import mime_of_image_format, read_data_url, standard_base64, write_data_url
from cliproxy.ir.request import Image, Inline, Part, Refusal, Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import Changes, JsonObject, JsonValue, child, integer, items, objects, text

WITHHELD: Final = "content_policy_violation"
_REFUSALS: Final = frozenset({FinishReason.CONTENT_FILTER, FinishReason.REFUSAL})
_TOLD_CHARS: Final = 500
"""How much of a model's words an error repeats."""


# --- reading ---


def decode_response(body: JsonObject, _ctx: ExchangeContext) -> IRResponse:
    """Read an answer. Raises :class:`~cliproxy.errors.DialectError`."""
    if not isinstance(body.get("data"), list):
        raise DialectError("the answer has no list of `data`", "data")
    mime = mime_of_image_format(text(body, "output_format"))
    parts = [_picture(entry, mime) for entry in objects(body, "data")]
    return IRResponse(
        id="",
        model="",
        choices=[Choice(parts, Ending(FinishReason.STOP))],
        usage=decode_usage(child(body, "usage")) or Usage(),
        created=integer(body, "created") or 0,
    )


def _picture(entry: JsonObject, mime: str) -> Part:
    if data := text(entry, "b64_json"):
        return Image(Inline(mime, data))
    url = text(entry, "url")
    source = read_data_url(url)
    # An address is told in words, which every client shows; a picture has to be at hand.
    return Image(source) if source is not None else Text(f"![picture]({url})")


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at an answer."""
    if body.get("error") and not body.get("data"):
        return Glimpse(has_content=False, error=decode_error(0, body))
    return Glimpse(
        usage=decode_usage(child(body, "usage")),
        has_content=bool(items(body, "data")),
        is_terminal=True,
        is_finished=True,
    )


# --- writing ---


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write an answer. Raises :class:`~cliproxy.errors.BadRequest` for one without a picture."""
    drawn = [source for choice in response.choices for source in _pictures(choice.parts)]
    if not drawn:
        said = "".join(_words(response.choices))
        raise no_picture(said, [choice.ending for choice in response.choices])
    as_url = ctx.original_body.get("response_format") == "url"
    data: list[JsonValue] = [
        {"url": write_data_url(source)} if as_url else _inline(source) for source in drawn
    ]
    body: JsonObject = {
        "created": response.created or int(ctx.now),
        "data": data,
        "output_format": format_of(drawn[0].mime),
    }
    if response.usage != Usage():
        body["usage"] = encode_usage(response.usage)
    return body


def _pictures(parts: Sequence[Part]) -> Iterator[Inline]:
    for part in parts:
        if isinstance(part, Image) and isinstance(part.source, Inline):
            yield part.source


def _words(choices: Sequence[Choice]) -> Iterator[str]:
    return (part.text for choice in choices for part in choice.parts if isinstance(part, Text | Refusal))


def _inline(source: Inline) -> JsonObject:
    return {"b64_json": standard_base64(source.data)}


def no_picture(said: str, endings: Sequence[Ending]) -> BadRequest:
    """Return the error for an answer without a picture."""
    words = f": {said.strip()[:_TOLD_CHARS]}" if said.strip() else ""
    reasons = sorted({ending.native or ending.reason for ending in endings if ending.reason in _REFUSALS})
    if reasons:
        return BadRequest(f"The model withheld the picture ({', '.join(reasons)}){words}", code=WITHHELD)
    return BadRequest(f"The upstream did not return a picture{words}", kind=Kind.UPSTREAM, status=502)


def format_of(mime: str) -> str:
    """Return the API's name for a kind of picture."""
    return mime.partition("/")[2] or "png"


def encode_usage(usage: Usage) -> JsonObject:
    """Write what an answer cost. What of it was for pictures nobody has told."""
    return {
        "input_tokens": usage.input_total,
        "output_tokens": usage.output_total,
        "total_tokens": usage.total,
        "input_tokens_details": {"text_tokens": usage.input_total, "image_tokens": 0},
    }


# --- portions ---


def _only(_body: JsonObject, _start: int, size: int) -> Changes:
    return {"n": size}


def _joined(answers: Sequence[JsonObject]) -> JsonObject:
    joined = {**answers[0], "data": [entry for answer in answers for entry in items(answer, "data")]}
    counts = [usage for answer in answers if (usage := child(answer, "usage"))]
    return {**joined, "usage": _sum(counts)} if counts else joined


def _sum(counts: Sequence[JsonObject]) -> JsonObject:
    """Add up counts, and those inside them."""
    total: JsonObject = {}
    for name in dict.fromkeys(name for count in counts for name in count):
        inner = [value for count in counts if (value := child(count, name))]
        total[name] = _sum(inner) if inner else sum(integer(count, name) or 0 for count in counts)
    return total


PORTIONS: Final = Portions(
    wanted=wanted, given=lambda body: len(items(body, "data")), only=_only, joined=_joined
)
