"""Data URLs, file names and audio formats."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.media import (
    audio_format,
    mime_of_audio,
    mime_of_image_format,
    mime_of_name,
    read_data_url,
    read_url,
    standard_base64,
    write_data_url,
    write_url,
)
from cliproxy.ir.request import Inline, Remote, Stored


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AA==", Inline("image/png", "AA==")),
        ("DATA:Image/PNG;Base64,AA==", Inline("image/png", "AA==")),
        ("data:;base64,AA==", Inline("application/octet-stream", "AA==")),
        ("data:text/plain;charset=utf-8;base64,AA==", Inline("text/plain", "AA==")),
        ("data:text/plain,hello", None),
        ("data:image/png;base64", None),
        ("https://example.com/a.png", None),
        ("", None),
    ],
)
def test_data_url_is_taken_apart(url, expected):
    assert read_data_url(url) == expected


@given(st.from_regex(r"[a-z]{1,9}/[a-z0-9.+-]{1,9}", fullmatch=True), st.text("ABCabc+/=", max_size=20))
def test_data_urls_survive_a_round_trip(mime, data):
    assert read_data_url(write_data_url(Inline(mime, data))) == Inline(mime, data)


def test_url_is_data_or_remote_or_nothing():
    assert read_url("data:image/png;base64,AA==") == Inline("image/png", "AA==")
    assert read_url("https://x/y.png", "image/png") == Remote("https://x/y.png", "image/png")
    assert read_url("data:nonsense") is None
    assert read_url("") is None


def test_url_of_a_source():
    assert write_url(Inline("", "AA==")) == "data:application/octet-stream;base64,AA=="
    assert write_url(Remote("https://x/y.png")) == "https://x/y.png"
    assert write_url(Stored("file-1", "openai")) == ""


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("a.PDF", "application/pdf"),
        ("notes.md", "text/markdown"),
        ("main.py", "text/plain"),
        ("a.b.png", "image/png"),
        ("x.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.zzz", ""),
        ("pdf", ""),
        ("", ""),
    ],
)
def test_file_name_tells_the_type(name, mime):
    assert mime_of_name(name) == mime


@pytest.mark.parametrize(
    ("name", "mime", "back"),
    [
        ("", "audio/wav", "wav"),
        ("wav", "audio/wav", "wav"),
        ("mp3", "audio/mpeg", "mp3"),
        ("MP3", "audio/mpeg", "mp3"),
        ("pcm16", "audio/pcm", "pcm16"),
        ("g711_alaw", "audio/basic", "g711_ulaw"),
        ("opus", "audio/opus", "opus"),
    ],
)
def test_audio_formats(name, mime, back):
    assert mime_of_audio(name) == mime
    assert audio_format(mime) == back


def test_audio_format_of_an_odd_type():
    assert audio_format("audio/mp3") == "mp3"
    assert audio_format("audio/x-wav; codecs=1") == "wav"
    assert audio_format("") == "wav"


def test_image_formats():
    expected = {"": "image/png", "jpg": "image/jpeg", "WEBP": "image/webp", "image/gif": "image/gif"}
    assert {name: mime_of_image_format(name) for name in expected} == expected


@given(st.binary())
def test_base64_of_either_alphabet_and_without_padding_becomes_standard(data):
    expected = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    assert standard_base64(url_safe) == standard_base64(url_safe.rstrip("=")) == expected
    assert standard_base64(expected) == expected
