"""Where vendors' programs keep their logins, and what is read there."""

from pathlib import Path

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow
from cliproxy.providers.base import Import, LoginInputs, LoginResult
from cliproxy.service.imports import MAX_BYTES, place_of, read
from cliproxy.wire.jsontext import JsonObject


def nothing(_document: JsonObject, _inputs: LoginInputs) -> Flow[LoginResult]:
    raise AssertionError("not carried out here")
    yield


SOURCE = Import(program="Vendor CLI", home="VENDOR_HOME", directory=".vendor", file="auth.json", flow=nothing)
HOMELESS = Import(program="Vendor CLI", directory=".vendor", file="auth.json", flow=nothing)


@pytest.mark.parametrize(
    ("source", "environ", "place"),
    [
        (SOURCE, {}, "/home/me/.vendor/auth.json"),
        (SOURCE, {"VENDOR_HOME": " "}, "/home/me/.vendor/auth.json"),
        (SOURCE, {"VENDOR_HOME": "/elsewhere"}, "/elsewhere/auth.json"),
        (HOMELESS, {"": "/elsewhere"}, "/home/me/.vendor/auth.json"),
    ],
)
def test_places(source: Import, environ: dict[str, str], place: str) -> None:
    assert place_of(source, environ, Path("/home/me")) == Path(place)


async def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text('{"a": 1}')
    assert await read(path) == {"a": 1}


async def test_no_file_is_no_login(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert await read(tmp_path / "auth.json") is None
    assert await read(tmp_path / "file" / "auth.json") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a JSON object"),
        ('["s3cret"]', "not a JSON object"),
        ('{"token": "s3cret', "not a JSON object"),
        (" " * (MAX_BYTES + 1), "too large"),
    ],
)
async def test_what_is_no_login(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(content)
    with pytest.raises(LoginError) as caught:
        await read(path)
    assert caught.value.code == "unreadable"
    assert words in caught.value.message
    assert "s3cret" not in caught.value.explained


async def test_a_directory_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(LoginError) as caught:
        await read(tmp_path)
    assert "cannot be read" in caught.value.message
