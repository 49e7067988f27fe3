"""Forms with files: what is read is what was written, and what is not replaced keeps its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.wire.formdata import FormData, FormError, Part, boundary_of, is_form
from cliproxy.wire.jsontext import DELETE

TYPE = "multipart/form-data; boundary=xyz"
FORM = (
    b"--xyz\r\n"
    b'Content-Disposition: form-data; name="model"\r\n\r\n'
    b"gpt-image-2\r\n"
    b"--xyz\r\n"
    b'content-disposition: form-data; name="image[]"; filename="a.png"\r\n'
    b"content-type: image/png\r\n\r\n"
    b"\x89PNG\r\n--xy no boundary\r\n\r\n"
    b"--xyz\r\n"
    b'Content-Disposition: form-data; name="prompt"\r\n\r\n'
    b"caf\xc3\xa9\r\n"
    b"--xyz--\r\n"
)


def form() -> FormData:
    return FormData.parse(FORM, TYPE)


def test_parts_are_read_in_order():
    assert form().parts == (
        Part(name="model", data=b"gpt-image-2"),
        Part(name="image[]", data=b"\x89PNG\r\n--xy no boundary\r\n", filename="a.png", mime="image/png"),
        Part(name="prompt", data="café".encode()),
    )
    assert [file.name for file in form().files] == ["image[]"]


def test_texts_are_an_object_and_files_are_not_in_it():
    assert form().value == {"model": "gpt-image-2", "prompt": "café"}


def test_texts_of_one_name_are_a_list():
    made = FormData.of([Part(name="a", data=b"1"), Part(name="a", data=b"2")])
    assert made.value == {"a": ["1", "2"]}


def test_without_changes_the_bytes_stay():
    assert form().patch({}) == form().raw == FORM


def test_a_replaced_text_leaves_the_other_parts_alone():
    changed = form().changed({"model": "other", "n": 3, "prompt": DELETE})
    assert changed.value == {"model": "other", "n": "3"}
    assert changed.content_type == TYPE
    [file] = changed.files
    assert file == form().parts[1]
    start = FORM.index(b"content-disposition")
    assert FORM[start : FORM.index(b'--xyz\r\nContent-Disposition: form-data; name="prompt"')] in changed.raw


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("Multipart/Form-Data; charset=utf-8; Boundary=----x'()+_,-./:=?", b"----x'()+_,-./:=?"),
    ],
)
def test_boundaries_are_found(content_type: str, boundary: bytes):
    assert is_form(content_type)
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/json; boundary=x", ""])
def test_a_type_without_boundary_is_no_form(content_type: str):
    with pytest.raises(FormError, match="boundary"):
        FormData.parse(FORM, content_type)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "begin with its boundary"),
        (b"{}", "begin with its boundary"),
        (FORM[:-9], "cut off"),
        (b"--xyz\r\nno head\r\n--xyz--", "no head"),
        (b"--xyz\r\nContent-Type: text/plain\r\n\r\nx\r\n--xyz--", "no name"),
        (b'--xyz\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--xyz--', "no name"),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--xyz--', "`a` is not UTF-8"),
        (
            b"".join(b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' for _ in range(1001))
            + b"--xyz--",
            "more than 1000 parts",
        ),
    ],
)
def test_what_is_no_form_is_said(raw: bytes, words: str):
    with pytest.raises(FormError, match=words):
        FormData.parse(raw, TYPE)


def test_lenience_in_the_delimiters():
    """A preamble, blanks behind a boundary, and an epilogue are legal."""
    raw = b'before\r\n--xyz \t\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xyz-- \r\nafter'
    assert FormData.parse(raw, TYPE).value == {"a": "1"}


def test_a_file_name_in_the_extended_form_makes_a_file():
    raw = b"--xyz\r\nContent-Disposition: form-data; name=a; filename*=utf-8''x.png\r\n\r\n1\r\n--xyz--"
    [file] = FormData.parse(raw, TYPE).files
    assert file.data == b"1"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n%;'), min_size=1, max_size=12)
PARTS = st.lists(
    st.one_of(
        st.builds(Part, name=NAMES, data=st.text().map(str.encode)),
        st.builds(
            Part,
            name=NAMES,
            data=st.binary(),
            filename=NAMES,
            mime=st.sampled_from(["image/png", "image/webp"]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(PARTS)
def test_what_is_written_is_read_again(parts: list[Part]):
    made = FormData.of(parts)
    assert made.parts == tuple(parts)
    assert FormData.parse(made.raw, made.content_type).parts == made.parts


@given(PARTS, st.binary())
def test_no_bytes_break_the_reader(parts: list[Part], noise: bytes):
    raw = FormData.of(parts).raw
    for broken in (raw[: len(raw) // 2], noise, raw + noise, noise + raw):
        try:
            FormData.parse(broken, FormData.of(parts).content_type)
        except FormError:
            continue
