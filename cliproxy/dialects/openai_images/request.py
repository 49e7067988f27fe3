"""Requests: a prompt, perhaps pictures to edit, and how the result should look.

In the hub a request for pictures is a conversation of one turn whose answer is to be an image. A
conversation, the other way round, is asked for as a picture by its newest user message, together with the
instructions; the pictures of that message, or else the one drawn last, are edited.

Toward another dialect everything that only shapes the picture is left out with a note. What the client would
not get at all is refused by name: an area to repaint, a transparent background, an animation.
"""

from typing import Final

from cliproxy.dialects.base import checked_integer
from cliproxy.dialects.openai_images.names import IMAGES, MOST_PICTURES, URL
from cliproxy.dialects.openai_images.sizes import AUTO, shape_of, size_of
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import read_data_url, write_url
from cliproxy.ir.request import Image, Inline, IRRequest, Message, Meta, Part, Text
from cliproxy.wire.jsontext import Changes, JsonObject, JsonValue, child, flag, items, text

_KNOWN: Final = frozenset(
    {"model", "prompt", "n", "size", "user", "stream", "response_format", IMAGES, "partial_images"}
)
_FILES: Final = ("mask", "markup")
_STILL: Final = frozenset({"png", "jpeg", "webp"})
_PLAIN: Final[dict[str, frozenset[JsonValue]]] = {
    "background": frozenset({None, AUTO, "opaque"}),
    "quality": frozenset({None, AUTO}),
    "moderation": frozenset({None, AUTO}),
    "output_format": frozenset({None, "png"}),
}
"""Settings and the values that ask for nothing special."""


def wanted(body: JsonObject) -> int:
    """Return how many pictures are asked for; the number is a text in a form."""
    value = body.get("n")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


# --- reading ---


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request. Raises :class:`~cliproxy.errors.DialectError`."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise DialectError("`prompt` is required", "prompt")
    is_streamed = flag(body, "stream") is True
    _check_number(body, is_streamed=is_streamed)
    _refuse(body)
    for name, value in body.items():
        if name not in _KNOWN and not _is_plain(name, value):
            ctx.note(f"{name} is not carried")
    parts: list[Part] = [Text(prompt), *_pictures(body)]
    return IRRequest(
        model=text(body, "model"),
        messages=[Message("user", parts)],
        meta=Meta(user=text(body, "user") or None, modalities=["image"], image=shape_of(text(body, "size"))),
        stream=is_streamed,
    )


def _is_plain(name: str, value: JsonValue) -> bool:
    """Tell whether a member says what would be so without it."""
    return value is None if isinstance(value, dict | list) else value in _PLAIN.get(name, {None})


def _check_number(body: JsonObject, *, is_streamed: bool) -> None:
    number = checked_integer(body, "n")
    if number is not None and not 1 <= number <= MOST_PICTURES:
        raise DialectError(f"`n` must be between 1 and {MOST_PICTURES}", "n")
    if is_streamed and number is not None and number > 1:
        raise DialectError("`n` must be 1 in a stream: this model draws one picture at a time", "n")


def _refuse(body: JsonObject) -> None:
    """Refuse what no other dialect can say and the picture would not be the wanted one without."""
    for name in _FILES:
        if body.get(name):
            raise DialectError(f"`{name}` is not supported by this model; describe the change instead", name)
    if body.get("background") == "transparent":
        raise DialectError("a transparent `background` is not supported by this model", "background")
    kind = body.get("output_format")
    if kind is not None and not (isinstance(kind, str) and kind in _STILL):
        message = f"`output_format` must be one of {', '.join(sorted(_STILL))} with this model"
        raise DialectError(message, "output_format")


def _pictures(body: JsonObject) -> list[Part]:
    return [Image(_source(entry, number)) for number, entry in enumerate(items(body, IMAGES))]


def _source(entry: JsonValue, number: int) -> Inline:
    where = f"{IMAGES}[{number}]"
    if isinstance(entry, dict):
        if entry.get("file_id"):
            raise DialectError("a picture by `file_id` is not supported by this model", f"{where}.file_id")
        address = text(entry, URL) or text(child(entry, URL), "url") or text(entry, "url")
    else:
        address = entry if isinstance(entry, str) else ""
    source = read_data_url(address)
    if source is None:
        message = f"`{where}.{URL}` must be a data URL: this model does not fetch pictures"
        raise DialectError(message, f"{where}.{URL}")
    return source


# --- writing ---


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a conversation as the request for a picture. Raises :class:`~cliproxy.errors.DialectError`."""
    newest = next((message for message in reversed(request.messages) if message.role == "user"), None)
    said = [entry.text for entry in request.system]
    said += _texts(newest)
    if newest is None or not "".join(said).strip():
        raise DialectError("the model draws pictures: say in words what is to be drawn")
    body: JsonObject = {"model": request.model, "prompt": "\n\n".join(said)}
    if request.sampling.n is not None and request.sampling.n > 1:
        body["n"] = request.sampling.n
    if size := size_of(request.meta.image):
        body["size"] = size
    if request.meta.user:
        body["user"] = request.meta.user
    if request.stream:
        body["stream"] = True
    pictures: list[JsonValue] = [{URL: url} for url in _urls(newest) or _drawn_last(request.messages)]
    if pictures:
        body[IMAGES] = pictures
    for name, value in (("tools", request.tools), ("output format", request.output)):
        if value:
            ctx.note(f"{name} is not carried")
    return body


def _texts(message: Message | None) -> list[str]:
    return [part.text for part in message.parts if isinstance(part, Text)] if message is not None else []


def _urls(message: Message) -> list[str]:
    urls = (write_url(part.source) for part in message.parts if isinstance(part, Image))
    return [url for url in urls if url]


def _drawn_last(messages: list[Message]) -> list[str]:
    """Return the picture that the model has drawn last."""
    drawn = (_urls(message) for message in reversed(messages) if message.role == "assistant")
    return next((urls[-1:] for urls in drawn if urls), [])


def patch_model(model: str) -> Changes:
    """Name the model in a raw body."""
    return {"model": model}
