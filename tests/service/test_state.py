"""What the owner's files mean: which are read, which are passed over, and what is said about them."""

import os
from pathlib import Path

import pytest

from cliproxy.config.environment import ConfigSource
from cliproxy.credentials.files import CredentialCodec
from cliproxy.errors import ConfigError, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.providers.base import Provider
from cliproxy.service.state import (
    State,
    complete,
    config_source,
    read_config,
    read_credentials,
    read_state,
)
from cliproxy.stores.base import Listing
from cliproxy.stores.file import FileStore

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX systems")
VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (),
    codec=CredentialCodec(type="vendor", provider="vendor", tokens=("token",)),
)


def private(path: Path, text: str | bytes) -> Path:
    """Write a file as its owner should: for himself alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def asked_for(path: Path) -> ConfigSource:
    return ConfigSource(path=path, explicit=True)


async def state_of(path: Path, text: str, home: Path | None = None) -> State:
    return await read_state(asked_for(private(path / "config.yaml", text)), home or path, [VENDOR])


# --- the configuration ----------------------------------------------------------------------------


async def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    source = await read_config(config_source("", {}, tmp_path), tmp_path / "home")
    assert not source.has_file
    assert source.loaded.config.port == 8317
    assert source.store.auth_dir == tmp_path / "home" / ".cli-proxy-api"


async def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file.*cliproxy init"):
        await read_config(config_source("nowhere.yaml", {}, tmp_path), tmp_path)


async def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(StoreError, match=r"config\.yaml is a directory"):
        await read_config(config_source("", {}, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port: 1\nhost: [\n", "line 3"),
        ("port: 1\ndebug: maybe\n", "line 2: debug"),
        ("api-keys:\n  - your-api-key-1\n", r"line 2: api-keys\[0\]"),
        ("a: 1\n".encode("utf-16"), "UTF-16"),
        (b"port: 1\nhost: \xff\n", "line 2: is not UTF-8"),
    ],
)
async def test_a_configuration_that_cannot_be_used_says_where_and_why(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    path = private(tmp_path / "config.yaml", text)
    with pytest.raises(ConfigError, match=said) as caught:
        await read_state(asked_for(path), tmp_path, [VENDOR])
    assert str(caught.value).startswith(str(path))


async def test_reading_is_not_judging(tmp_path: Path) -> None:
    source = await read_config(asked_for(private(tmp_path / "c.yaml", "port: -1\n")), tmp_path)
    assert [problem.path for problem in source.loaded.errors] == ["port"]
    with pytest.raises(ConfigError):
        await complete(source, [VENDOR])


@posix_only
async def test_a_configuration_open_to_others_is_warned_about(tmp_path: Path) -> None:
    path = private(tmp_path / "config.yaml", "auth-dir: auth\n")
    path.chmod(0o644)
    state = await read_state(asked_for(path), tmp_path, [VENDOR])
    assert any("config.yaml" in warning and "chmod 600" in warning for warning in state.warnings)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("~/x", "home/x"), ("~", "home"), ("sub/dir", "etc/sub/dir"), ("", "home/.cli-proxy-api")],
)
async def test_the_auth_directory_is_found(tmp_path: Path, written: str, expected: str) -> None:
    text = f"auth-dir: {written!r}\n" if written else "port: 1\n"
    path = private(tmp_path / "etc" / "config.yaml", text)
    source = await read_config(asked_for(path), tmp_path / "home")
    assert source.store.auth_dir == tmp_path / expected
    assert source.store.config_path == path


async def test_a_remote_store_has_its_own_places(tmp_path: Path) -> None:
    environ = {"PGSTORE_DSN": "postgres://x", "PGSTORE_LOCAL_PATH": str(tmp_path / "copy")}
    chosen = config_source("ignored.yaml", environ, tmp_path)
    source = await read_config(chosen, tmp_path)
    assert source.store.auth_dir == tmp_path / "copy" / "pgstore" / "auths"
    assert not source.has_file
    (warning,) = source.warnings
    assert warning.startswith("PGSTORE_DSN asks for a store that this version does not have")
    assert str(source.store.auth_dir) in warning
    assert "postgres://" not in warning


# --- the credentials ------------------------------------------------------------------------------

FILES = {
    "good.json": b'{"type": "vendor", "token": "t", "email": "me@example.org"}',
    "off.json": b'{"type": "vendor", "token": "t", "disabled": true}',
    "odd.json": b'{"type": "vendor", "token": "t", "priority": "high"}',
    "cut.json": b'{"type": "vendor", "tok',
    "empty.json": b"",
    "strange.json": b'{"type": "martian", "token": "t"}',
    "typeless.json": b'{"token": "t"}',
    "tokenless.json": b'{"type": "vendor"}',
    "list.json": b"[]",
    "notes.txt": b"not a credential",
}


async def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """Each is named once, with a reason, and without what is in it."""
    for name, content in FILES.items():
        private(tmp_path / "auth" / name, content)
    state = await state_of(tmp_path, "auth-dir: auth\n")
    assert [credential.id for credential in state.credentials] == ["good.json", "odd.json", "off.json"]
    assert [credential.disabled for credential in state.credentials] == [False, False, True]
    named = {problem.partition(":")[0] for problem in state.problems}
    assert named == set(FILES) - {"good.json", "off.json", "odd.json", "notes.txt"}
    assert len(state.problems) == len(named)
    assert any("odd.json" in warning and "priority" in warning for warning in state.warnings)


async def test_keys_of_the_configuration_come_after_the_files(tmp_path: Path) -> None:
    private(tmp_path / "auth" / "gitlab-me.json", b'{"type": "gitlab", "access_token": "t"}')
    path = private(
        tmp_path / "c.yaml", "auth-dir: auth\ngitlab-api-key:\n  - api-key: glpat-0123456789abcdef\n"
    )
    state = await read_state(asked_for(path), tmp_path, PROVIDERS)
    first, second = state.credentials
    assert first.id == "gitlab-me.json"
    assert (second.provider, second.source) == ("gitlab", "gitlab-api-key[0]")


async def test_a_directory_that_cannot_be_used_does_not_stop_the_keys(tmp_path: Path) -> None:
    private(tmp_path / "auth", b"a file where a directory should be")
    text = "auth-dir: auth\ngitlab-api-key:\n  - api-key: glpat-0123456789abcdef\n"
    state = await read_state(asked_for(private(tmp_path / "c.yaml", text)), tmp_path, PROVIDERS)
    assert len(state.credentials) == 1
    [problem] = state.problems
    assert str(tmp_path / "auth") in problem


async def test_no_files_are_no_problem(tmp_path: Path) -> None:
    files = await read_credentials(FileStore(tmp_path / "c.yaml", tmp_path / "auth"), [VENDOR])
    assert (files.credentials, files.problems, files.warnings) == ((), (), ())


@posix_only
async def test_files_open_to_others_are_warned_about(tmp_path: Path) -> None:
    private(tmp_path / "auth" / "good.json", FILES["good.json"]).chmod(0o644)
    state = await state_of(tmp_path, "auth-dir: auth\n")
    assert any("good.json" in warning for warning in state.warnings)
    assert len(state.credentials) == 1


@pytest.mark.parametrize(("content", "is_blank"), [("", True), (" \n\n", True), ("# nothing\n", False)])
async def test_a_file_without_anything_in_it_is_told_from_one_of_defaults(
    tmp_path: Path, content: str, is_blank: bool
) -> None:
    source = await read_config(asked_for(private(tmp_path / "config.yaml", content)), tmp_path)
    assert source.has_file
    assert source.is_blank is is_blank


async def test_how_the_files_looked_is_noted_of_those_that_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks for changes later need not read them once more, except those that changed meanwhile."""
    for name in ("good", "late"):
        private(tmp_path / "auth" / f"{name}.json", '{"type": "vendor", "token": "t"}')
    private(tmp_path / "auth" / "bad.json", "{")
    store = FileStore(tmp_path / "c.yaml", tmp_path / "auth")
    list_credentials = FileStore.list_credentials

    async def and_then_edited(subject: FileStore) -> Listing:
        listing = await list_credentials(subject)
        private(tmp_path / "auth" / "late.json", '{"type": "vendor", "token": "another"}')
        return listing

    monkeypatch.setattr(FileStore, "list_credentials", and_then_edited)
    files = await read_credentials(store, [VENDOR])
    assert [credential.id for credential in files.credentials] == ["good.json", "late.json"]
    seen = await store.fingerprint()
    assert files.seen == {"good.json": seen.credentials["good.json"]}
