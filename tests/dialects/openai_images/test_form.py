"""Edits as forms and as JSON say the same."""

import base64

import pytest

from cliproxy.dialects.openai_images.form import path_of, read_form, write_request
from cliproxy.errors import DialectError
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.jsontext import JsonObject, dumps, loads_object

PNG = b"\x89PNG\r\n\x1a\n..."
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "


def url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def picture(name: str, data: bytes, mime: str = "") -> Part:
    return Part(name=name, data=data, filename="x", mime=mime)


def test_a_form_is_read_as_the_json_that_says_the_same():
    form = FormData.of(
        [
            Part(name="prompt", data=b"a cat"),
            Part(name="n", data=b"2"),
            Part(name="stream", data=b"true"),
            picture("image[]", PNG),
            picture("image[]", WEBP, "application/octet-stream"),
            picture("mask", PNG),
        ]
    )
    assert read_form(form) == {
        "prompt": "a cat",
        "n": 2,
        "stream": True,
        "mask": {"image_url": url(PNG)},
        "images": [{"image_url": url(PNG)}, {"image_url": url(WEBP, "image/webp")}],
    }


def test_numbers_that_are_none_stay_texts():
    """So that whoever reads the request can name the field."""
    body = read_form(FormData.of([Part(name="n", data=b"two"), Part(name="stream", data=b"no")]))
    assert (body["n"], body["stream"]) == ("two", False)


@pytest.mark.parametrize(
    ("data", "said", "mime"),
    [
        (b"\xff\xd8\xff\xe0", "image/png", "image/jpeg"),
        (b"GIF89a", "", "image/gif"),
        (b"????", "image/avif", "image/avif"),
        (b"????", "text/plain", "image/png"),
    ],
)
def test_the_kind_of_a_file_is_seen_from_its_beginning(data: bytes, said: str, mime: str):
    [entry] = read_form(FormData.of([picture("image", data, said)]))["images"]
    assert entry == {"image_url": url(data, mime)}


def test_a_file_of_another_name_is_refused():
    with pytest.raises(DialectError, match="`photo`"):
        read_form(FormData.of([picture("photo", PNG)]))


def test_pictures_at_hand_are_sent_as_files():
    body: JsonObject = {"model": "m", "prompt": "a cat", "n": 2, "images": [{"image_url": url(PNG)}]}
    raw, content_type = write_request(body)
    form = FormData.parse(raw, content_type)
    assert form.value == {"model": "m", "prompt": "a cat", "n": "2"}
    [file] = form.files
    assert (file.name, file.data, file.filename, file.mime) == ("image", PNG, "image-1.png", "image/png")
    assert read_form(form) == body


def test_several_pictures_are_a_list():
    body: JsonObject = {"images": [{"image_url": url(PNG)}, {"image_url": url(WEBP, "image/webp")}]}
    form = FormData.parse(*write_request(body))
    assert [(file.name, file.filename) for file in form.files] == [
        ("image[]", "image-1.png"),
        ("image[]", "image-2.webp"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a cat"},
        {"prompt": "a cat", "images": [{"image_url": "https://a.example/b.png"}]},
        {"images": [{"image_url": url(PNG)}, {"image_url": "https://a.example/b.png"}]},
    ],
)
def test_without_files_it_stays_json(body: JsonObject):
    raw, content_type = write_request(body)
    assert (loads_object(raw), content_type) == (body, "application/json")


def test_what_is_not_base64_is_refused():
    with pytest.raises(DialectError, match="picture 1"):
        write_request({"images": [{"image_url": "data:image/png;base64,????"}]})


@pytest.mark.parametrize(
    ("body", "path"),
    [({"prompt": "a"}, "/images/generations"), ({"prompt": "a", "images": []}, "/images/edits")],
)
def test_the_path_is_seen_from_the_body(body: JsonObject, path: str):
    assert path_of(dumps(body), "application/json") == path


def test_a_form_is_for_edits():
    form = FormData.of([picture("image", PNG)])
    assert path_of(form.raw, form.content_type) == "/images/edits"
