"""OpenAI's embeddings and images: what is refused, and what is answered.

Images are drawn from a prompt, or edited: a form with files, or JSON with addresses. `vendor: compatible`
takes forms for edits only and knows `response_format`, as many such servers do. A prompt with the word
"withhold" is answered like the vendor's moderation does. With "inspect" the answer tells in `revised_prompt`
what was understood.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator

from attrs import frozen

from emulators.check import Bool, Either, List, Num, Obj, Opt, Problem, Spec, Str
from emulators.media import File, kind_of, png, read_form, vector
from emulators.openai_rules import error_body, refuse, worded
from emulators.scenario import has_word
from emulators.values import (
    SSE_TYPE,
    Answer,
    Json,
    JsonObject,
    Request,
    as_list,
    as_text,
    dumps,
    json_answer,
    objects,
)

MOST_INPUTS = 2048
MOST_PICTURES = 16
_INPUT = Either((Str(low=1), Num(whole=True), List(Num(whole=True), low=1)))
_EMBEDDING = Obj(
    {
        "model": Str(low=1),
        "input": Either((Str(low=1), List(_INPUT, 1, MOST_INPUTS))),
        "encoding_format": Opt(Str(choices=("float", "base64"))),
        "dimensions": Opt(Num(whole=True, low=1, high=3072)),
        "user": Opt(Str()),
    },
    ("model", "input"),
)
_SETTINGS: dict[str, Spec] = {
    "model": Str(low=1),
    "prompt": Str(low=1, high=32_000),
    "n": Opt(Num(whole=True, low=1, high=10)),
    "size": Opt(Str(pattern=r"auto|\d{3,4}x\d{3,4}")),
    "quality": Opt(Str(choices=("low", "medium", "high", "xhigh", "max", "auto"))),
    "background": Opt(Str(choices=("transparent", "opaque", "auto"))),
    "output_format": Opt(Str(choices=("png", "webp", "jpeg"))),
    "output_compression": Opt(Num(whole=True, low=0, high=100)),
    "partial_images": Opt(Num(whole=True, low=0, high=3)),
    "stream": Opt(Bool()),
    "user": Opt(Str()),
    "safety_identifier": Opt(Str()),
}
_ADDRESS = Obj({"image_url": Str(low=1), "file_id": Str(low=1)})
_GENERATION = Obj({**_SETTINGS, "moderation": Opt(Str(choices=("low", "auto")))}, ("prompt",))
_EDIT_SETTINGS: dict[str, Spec] = {**_SETTINGS, "input_fidelity": Opt(Str(choices=("high", "low")))}
_EDIT_FORM = Obj(_EDIT_SETTINGS, ("prompt",))
_EDIT_JSON = Obj(
    {**_EDIT_SETTINGS, "images": List(_ADDRESS, 1, MOST_PICTURES), "mask": Opt(_ADDRESS)},
    ("prompt", "images"),
)
_WHOLE = ("n", "output_compression", "partial_images")


# --- embeddings ---


def check_embeddings(body: JsonObject, *, compatible: bool) -> None:
    """Check a request for embeddings."""
    _check(_EMBEDDING, body)
    inputs = body["input"]
    if isinstance(inputs, list) and len({type(entry) for entry in inputs}) > 1:
        text = "Invalid 'input': input must be a string, or a list of strings or tokens of one kind."
        raise refuse(text, param="input")
    model = as_text(body["model"])
    if not compatible and "embedding" not in model:
        text = "You are not allowed to generate embeddings from this model"
        raise refuse(text, status=403)
    if not compatible and body.get("dimensions") and not model.startswith("text-embedding-3"):
        raise refuse("This model does not support specifying dimensions.", param="dimensions")


def embeddings_answer(body: JsonObject) -> Answer:
    """One vector for each input."""
    given = body["input"]
    is_list = isinstance(given, list) and not all(isinstance(entry, int) for entry in given)
    inputs = as_list(given) if is_list else [given]
    length = body.get("dimensions")
    data: list[Json] = []
    for at, entry in enumerate(inputs):
        numbers = vector(str(entry), length if isinstance(length, int) else None)
        packed = b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        shown: Json = packed if body.get("encoding_format") == "base64" else [*numbers]
        data.append({"object": "embedding", "index": at, "embedding": shown})
    usage: JsonObject = {"prompt_tokens": 8 * len(inputs), "total_tokens": 8 * len(inputs)}
    return json_answer({"object": "list", "data": data, "model": body["model"], "usage": usage})


# --- images ---


@frozen(kw_only=True)
class Wish:
    """A checked request for pictures."""

    settings: JsonObject
    pictures: tuple[str, ...] = ()
    """What is edited: MIME types."""
    is_edit: bool = False
    has_mask: bool = False


def read_generation(body: JsonObject, *, compatible: bool) -> Wish:
    """Check a request for new pictures."""
    settings = _without_format(body, compatible=compatible)
    _check(_GENERATION, settings)
    _check_meaning(settings, compatible=compatible)
    return Wish(settings=settings)


def read_json_edit(body: JsonObject, *, compatible: bool) -> Wish:
    """Check a request to edit pictures that are named by their addresses."""
    if compatible:
        raise refuse("Unsupported content type: this endpoint takes multipart/form-data", status=415)
    _check(_EDIT_JSON, body)
    _check_meaning(body, compatible=compatible)
    kinds = [_kind_of_address(entry, at) for at, entry in enumerate(objects(body["images"]))]
    return Wish(settings=body, pictures=tuple(kinds), is_edit=True, has_mask=body.get("mask") is not None)


def _kind_of_address(entry: JsonObject, at: int) -> str:
    url = as_text(entry.get("image_url"))
    if not url.startswith("data:"):
        return "url"
    try:
        data = b64decode(url.partition(";base64,")[2], validate=True)
    except ValueError:
        data = b""
    return _checked_kind(data, url[5:].partition(";")[0], f"images[{at}].image_url")


def read_form_edit(request: Request, *, compatible: bool) -> Wish:
    """Check a form with pictures to edit."""
    try:
        form = read_form(request)
    except ValueError as exc:
        raise refuse(f"Could not parse multipart form: {exc}") from exc
    typed: JsonObject = {name: _typed(name, text) for name, text in form.texts.items()}
    settings = _without_format(typed, compatible=compatible)
    _check(_EDIT_FORM, settings)
    _check_meaning(settings, compatible=compatible)
    pictures = [file for file in form.files if file.name in {"image", "image[]"}]
    masks = [file for file in form.files if file.name == "mask"]
    if len(pictures) + len(masks) != len(form.files) or len(masks) > 1:
        raise refuse(f"Unknown parameter: '{form.files[-1].name}'.", code="unknown_parameter")
    if not pictures:
        text = "Missing required parameter: 'image'."
        raise refuse(text, param="image", code="missing_required_parameter")
    if len(pictures) > MOST_PICTURES or (
        len(pictures) > 1 and any(file.name == "image" for file in pictures)
    ):
        raise refuse(
            "Duplicate parameter: 'image'. Use the array syntax instead e.g. 'image[]'.", param="image"
        )
    return Wish(
        settings=settings,
        pictures=tuple(_kind_of_file(file) for file in pictures),
        is_edit=True,
        has_mask=bool([_kind_of_file(file) for file in masks]),
    )


def _typed(name: str, text: str) -> Json:
    if name in _WHOLE and text.isdigit():
        return int(text)
    return {"true": True, "false": False}.get(text, text) if name == "stream" else text


def _kind_of_file(file: File) -> str:
    return _checked_kind(file.data, file.mime, file.name)


def _checked_kind(data: bytes, said: str, where: str) -> str:
    if said not in {"image/png", "image/jpeg", "image/webp"}:
        text = f"Invalid file '{where}': unsupported mimetype ('{said}'). Supported file formats are"
        text += " 'image/jpeg', 'image/png', and 'image/webp'."
        raise refuse(text, param=where, code="unsupported_file_mimetype")
    if kind_of(data) != said:
        raise refuse("Invalid image file or mode for image, please check your image file.", param=where)
    return said


def _without_format(body: JsonObject, *, compatible: bool) -> JsonObject:
    """The body without what servers of other people know."""
    extra = {"response_format", "style"} if compatible else set()
    return {name: value for name, value in body.items() if name not in extra}


def _check(spec: Obj, body: JsonObject) -> None:
    try:
        spec.check(body, ())
    except Problem as problem:
        raise worded(problem, responses=True) from problem


def _check_meaning(body: JsonObject, *, compatible: bool) -> None:
    model = as_text(body.get("model"))
    if not compatible and not model.startswith("gpt-image"):
        text = f"Invalid value: '{model}'. Value must be 'gpt-image-1.5' or 'gpt-image-2'."
        raise refuse(text, param="model", code="invalid_value")
    if body.get("partial_images") and body.get("stream") is not True:
        raise refuse("partial_images is only supported when stream is true.", param="partial_images")
    if body.get("background") == "transparent" and body.get("output_format") == "jpeg":
        raise refuse("Transparent background is not supported for JPEG output format.", param="background")


def images_answer(wish: Wish, now: float) -> Answer:
    """The pictures, whole or in a stream with previews."""
    settings = wish.settings
    if has_word(as_text(settings["prompt"]), "withhold"):
        text = "Your request was rejected by the safety system."
        return json_answer(error_body(text, "image_generation_user_error", None, "moderation_blocked"), 400)
    count = settings.get("n")
    pictures = [b64encode(png(at)).decode() for at in range(count if isinstance(count, int) else 1)]
    if settings.get("stream") is True:
        events = [*_events(wish, pictures, int(now))]
        return Answer(
            headers=(("content-type", SSE_TYPE),),
            pieces=tuple(_event(event) for event in events),
            is_stream=True,
            error_piece=_event({"type": "error", **error_body("The server had an error", "server_error")}),
        )
    account: JsonObject = {}
    if has_word(as_text(settings["prompt"]), "inspect"):
        seen: JsonObject = {
            **settings,
            "pictures": [*wish.pictures],
            "edit": wish.is_edit,
            "mask": wish.has_mask,
        }
        account = {"revised_prompt": dumps({k: v for k, v in seen.items() if k != "images"}).decode()}
    data: list[Json] = [{"b64_json": picture, **account} for picture in pictures]
    return json_answer({"created": int(now), "data": data, **_look(settings), "usage": _usage(len(pictures))})


def _look(settings: JsonObject) -> JsonObject:
    return {
        "background": settings.get("background") or "opaque",
        "output_format": settings.get("output_format") or "png",
        "quality": settings.get("quality") or "low",
        "size": settings.get("size") or "1024x1024",
    }


def _usage(count: int) -> JsonObject:
    return {
        "input_tokens": 13,
        "output_tokens": 272 * count,
        "total_tokens": 13 + 272 * count,
        "input_tokens_details": {"text_tokens": 13, "image_tokens": 0},
    }


def _events(wish: Wish, pictures: list[str], now: int) -> Iterator[JsonObject]:
    kind = "image_edit" if wish.is_edit else "image_generation"
    common: JsonObject = {"created_at": now, **_look(wish.settings)}
    previews = wish.settings.get("partial_images")
    for picture in pictures:
        for at in range(previews if isinstance(previews, int) else 0):
            preview = b64encode(png(100 + at)).decode()
            yield {"type": f"{kind}.partial_image", "b64_json": preview, "partial_image_index": at, **common}
        yield {"type": f"{kind}.completed", "b64_json": picture, **common, "usage": _usage(1)}


def _event(value: JsonObject) -> bytes:
    return f"event: {as_text(value['type'])}\ndata: ".encode() + dumps(value) + b"\n\n"
