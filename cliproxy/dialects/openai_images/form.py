"""Edits as forms and as JSON: one request in two spellings.

The API takes pictures to edit as files of a form, or as addresses in a JSON body, where an address may hold
the picture itself (``data:``). Some servers take only the one, some only the other; both ways of turning are
here. Settings are texts in a form and have types in JSON.
"""

import binascii
from base64 import b64decode, b64encode
from typing import Final

from cliproxy.dialects.openai_images.names import (
    EDITS,
    FLAGS,
    FORM_FILES,
    FORM_IMAGES,
    GENERATIONS,
    IMAGES,
    URL,
    WHOLE_NUMBERS,
)
from cliproxy.errors import DialectError
from cliproxy.ir.media import read_data_url, standard_base64, write_data_url
from cliproxy.ir.request import Inline
from cliproxy.wire.formdata import FormData, Part, is_form
from cliproxy.wire.jsontext import Document, JsonObject, JsonValue, dumps, dumps_text, items, text

_SIGNATURES: Final = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
"""How files of a kind begin."""
_PNG: Final = "image/png"


def is_edit(body: JsonObject) -> bool:
    """Tell a JSON body that edits pictures from one that draws new ones."""
    return IMAGES in body


def path_of(body: bytes, content_type: str) -> str:
    """Return the path a request belongs to."""
    is_for_edits = is_form(content_type) or is_edit(Document.parse(body).value)
    return EDITS if is_for_edits else GENERATIONS


def read_form(form: FormData) -> JsonObject:
    """Return the JSON body that says the same as a form. Raises :class:`~cliproxy.errors.DialectError`."""
    body: JsonObject = {name: _typed(name, value) for name, value in form.value.items()}
    pictures: list[JsonValue] = []
    for file in form.files:
        picture: JsonObject = {URL: write_data_url(Inline(_mime(file), b64encode(file.data).decode("ascii")))}
        if file.name in FORM_IMAGES:
            pictures.append(picture)
        elif file.name in FORM_FILES:
            body[file.name] = picture
        else:
            raise DialectError(f"there is no file `{file.name}` in such a request", file.name)
    return {**body, IMAGES: pictures}


def _typed(name: str, value: JsonValue) -> JsonValue:
    if name in FLAGS:
        return isinstance(value, str) and value.strip().lower() in {"true", "1"}
    if name in WHOLE_NUMBERS and isinstance(value, str) and value.strip().isascii():
        return int(value) if value.strip().isdigit() else value
    return value


def _mime(file: Part) -> str:
    """Tell the kind of a file by how it begins: clients often say nothing, or that it is any bytes."""
    if file.data[:4] == b"RIFF" and file.data[8:12] == b"WEBP":
        return "image/webp"
    found = (mime for start, mime in _SIGNATURES if file.data.startswith(start))
    return next(found, file.mime if file.mime.startswith("image/") else _PNG)


def write_request(body: JsonObject) -> tuple[bytes, str]:
    """Return a JSON body as bytes, and their content type: as a form if there are pictures to edit, which
    every server understands, and if they are at hand."""
    pictures = [read_data_url(text(entry, URL)) for entry in items(body, IMAGES) if isinstance(entry, dict)]
    inline = [picture for picture in pictures if picture is not None]
    if not inline or len(inline) != len(items(body, IMAGES)):
        return dumps(body), Document.content_type
    texts = ((name, value) for name, value in body.items() if name != IMAGES)
    parts = [Part(name=name, data=_as_text(value).encode()) for name, value in texts]
    name = "image[]" if len(inline) > 1 else "image"
    parts += [_file(name, number, picture) for number, picture in enumerate(inline, 1)]
    form = FormData.of(parts)
    return form.raw, form.content_type


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps_text(value)


def _file(name: str, number: int, picture: Inline) -> Part:
    try:
        data = b64decode(standard_base64(picture.data), validate=True)
    except binascii.Error as exc:
        raise DialectError(f"the picture {number} of the request is not base64: {exc}", IMAGES) from exc
    kind = picture.mime.partition("/")[2] or "png"
    return Part(name=name, data=data, filename=f"image-{number}.{kind}", mime=picture.mime)
