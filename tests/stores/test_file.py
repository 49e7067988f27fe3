"""The file store: configuration and credential files on a disk that may be in any state."""

import os
import stat

import pytest
import trio
from trio.testing import assert_checkpoints

from cliproxy.errors import StoreError
from cliproxy.stores.base import Store, StoreConflict, digest_of
from cliproxy.stores.file import MAX_CREDENTIAL_BYTES, FileStore

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX systems")


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "config.yaml", tmp_path / "auths")


@pytest.fixture
async def prepared(store):
    await store.prepare()
    return store


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def as_contract(store: FileStore) -> Store:
    """The type checker's proof that the file store keeps the contract."""
    return store


# ------------------------------------------------------------------------------------------------- prepare


@posix_only
async def test_the_auth_directory_is_made_private(store):
    assert await store.prepare() == ()
    assert mode(store.auth_dir) == 0o700


@posix_only
async def test_an_auth_directory_open_to_others_is_warned_about(store):
    store.auth_dir.mkdir()
    store.auth_dir.chmod(0o755)
    [warning] = await store.prepare()
    assert "0755" in warning
    assert "chmod 700" in warning


async def test_an_auth_directory_that_cannot_be_written_is_warned_about(prepared, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, kind: False)
    [warning] = await prepared.prepare()
    assert str(prepared.auth_dir) in warning
    assert "cannot be saved" in warning


# ------------------------------------------------------------------------------------------- configuration


async def test_there_may_be_no_configuration(store):
    assert await store.read_config() is None


async def test_a_configuration_is_written_and_read_back(store):
    written = await store.write_config("port: 1\n", expected=None)
    found = await store.read_config()
    assert found == written
    assert (found.content, found.digest) == (b"port: 1\n", digest_of(b"port: 1\n"))
    assert found.name == str(store.config_path)


@posix_only
async def test_a_new_configuration_is_private_and_an_old_one_keeps_its_mode(store):
    written = await store.write_config("a: 1\n", expected=None)
    assert mode(store.config_path) == 0o600
    store.config_path.chmod(0o640)
    await store.write_config("a: 2\n", expected=written.digest)
    assert mode(store.config_path) == 0o640


async def test_the_text_before_is_kept_beside_it(store):
    written = await store.write_config("a: 1\n", expected=None)
    await store.write_config("a: 2\n", expected=written.digest)
    assert store.config_path.with_name("config.yaml.bak").read_text() == "a: 1\n"


@pytest.mark.parametrize("expected", [None, "another"])
async def test_a_configuration_changed_meanwhile_is_not_overwritten(store, expected):
    await store.write_config("a: 1\n", expected=None)
    with pytest.raises(StoreConflict, match="changed meanwhile"):
        await store.write_config("a: 2\n", expected=expected)
    assert (await store.read_config()).content == b"a: 1\n"


async def test_of_two_writers_with_the_same_base_one_wins(store):
    base = await store.write_config("a: 0\n", expected=None)
    outcomes = []

    async def write(text):
        try:
            await store.write_config(text, expected=base.digest)
        except StoreConflict:
            outcomes.append("refused")
        else:
            outcomes.append("written")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "a: 1\n")
        nursery.start_soon(write, "a: 2\n")
    assert sorted(outcomes) == ["refused", "written"]


@posix_only
async def test_a_configuration_behind_a_link_stays_behind_it(store, tmp_path):
    real = tmp_path / "real.yaml"
    real.write_text("a: 1\n")
    store.config_path.symlink_to(real)
    await store.write_config("a: 2\n", expected=digest_of(b"a: 1\n"))
    assert store.config_path.is_symlink()
    assert real.read_text() == "a: 2\n"


@posix_only
@pytest.mark.parametrize(("rights", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o620, True)])
async def test_a_configuration_open_to_others_is_warned_about(store, rights, warned):
    store.config_path.write_text("a: 1\n")
    store.config_path.chmod(rights)
    assert bool((await store.read_config()).warnings) is warned


async def test_a_directory_in_place_of_the_configuration_is_explained(store):
    store.config_path.mkdir()
    with pytest.raises(StoreError, match="container runtime"):
        await store.read_config()


# ---------------------------------------------------------------------------------------------- credentials


async def test_without_a_directory_there_are_no_credentials(store):
    assert (await store.list_credentials()).files == ()


async def test_credentials_are_listed_in_the_order_of_their_names(prepared):
    for name in ("b.json", "a.json", "C.JSON"):
        await prepared.write_credential(name, name.encode())
    listing = await prepared.list_credentials()
    assert [(file.name, file.content) for file in listing.files] == [
        ("C.JSON", b"C.JSON"),
        ("a.json", b"a.json"),
        ("b.json", b"b.json"),
    ]
    assert (listing.problems, listing.warnings) == ((), ())


async def test_other_things_in_the_directory_are_passed_over(prepared):
    (prepared.auth_dir / "notes.txt").write_bytes(b"x")
    (prepared.auth_dir / ".hidden.json").write_bytes(b"x")
    (prepared.auth_dir / "folder.json").mkdir()
    async with prepared.lock("a.json"):
        listing = await prepared.list_credentials()
    assert (listing.files, listing.problems) == ((), ())


@posix_only
async def test_one_bad_file_does_not_hide_the_others(prepared, tmp_path):
    (tmp_path / "passwd").write_bytes(b"secret")
    (prepared.auth_dir / "link.json").symlink_to(tmp_path / "passwd")
    os.mkfifo(prepared.auth_dir / "pipe.json")
    (prepared.auth_dir / "huge.json").write_bytes(b"x" * (MAX_CREDENTIAL_BYTES + 1))
    await prepared.write_credential("good.json", b"{}")
    listing = await prepared.list_credentials()
    assert [file.name for file in listing.files] == ["good.json"]
    assert [problem.partition(" is ")[0] for problem in listing.problems] == [
        str(prepared.auth_dir / name) for name in ("huge.json", "link.json", "pipe.json")
    ]


@posix_only
async def test_open_files_are_warned_about_once(prepared):
    for name in ("a.json", "b.json", "c.json"):
        await prepared.write_credential(name, b"{}")
    (prepared.auth_dir / "a.json").chmod(0o644)
    [warning] = (await prepared.list_credentials()).warnings
    assert warning.startswith(f"{prepared.auth_dir / 'a.json'}: open")
    (prepared.auth_dir / "b.json").chmod(0o640)
    [warning] = (await prepared.list_credentials()).warnings
    assert "and 1 more" in warning


async def test_a_listing_that_is_refused_says_why(store):
    store.auth_dir.write_bytes(b"not a directory")
    with pytest.raises(StoreError, match="cannot list"):
        await store.list_credentials()


@posix_only
async def test_a_credential_is_written_private_even_without_preparation(store):
    await store.write_credential("a.json", b"{}")
    assert mode(store.auth_dir) == 0o700
    assert mode(store.auth_dir / "a.json") == 0o600
    assert (await store.read_credential("a.json")).content == b"{}"


async def test_a_missing_credential_reads_as_nothing(prepared):
    assert await prepared.read_credential("a.json") is None


@pytest.mark.parametrize("name", ["../a.json", "a/b.json", "/etc/passwd", "a.txt", ".a.json", "", "a\0.json"])
async def test_names_that_lead_elsewhere_are_refused(prepared, name):
    for action in (
        lambda: prepared.read_credential(name),
        lambda: prepared.write_credential(name, b"{}"),
        lambda: prepared.delete_credential(name),
        lambda: prepared.update_credential(name, lambda content: b"{}"),
    ):
        with pytest.raises(StoreError, match="plain file name"):
            await action()


async def test_a_change_sees_what_is_there_and_returns_what_is_there_then(prepared):
    assert (
        await prepared.update_credential("a.json", lambda content: b"1" if content is None else None) == b"1"
    )
    assert await prepared.update_credential("a.json", lambda content: content + b"2") == b"12"
    assert (await prepared.read_credential("a.json")).content == b"12"


async def test_a_change_that_changes_nothing_does_not_write(prepared):
    await prepared.write_credential("a.json", b"1")
    before = await prepared.fingerprint()
    assert await prepared.update_credential("a.json", lambda content: content) == b"1"
    assert await prepared.update_credential("a.json", lambda content: None) == b"1"
    assert await prepared.fingerprint() == before


async def test_a_deleted_credential_does_not_come_back_by_a_change(prepared):
    assert await prepared.update_credential("a.json", lambda content: None) is None
    assert await prepared.read_credential("a.json") is None


async def test_changes_at_the_same_time_all_count(prepared):
    await prepared.write_credential("a.json", b"")

    async def append(letter):
        await prepared.update_credential("a.json", lambda content: content + letter)

    async with trio.open_nursery() as nursery:
        for letter in (b"a", b"b", b"c", b"d", b"e"):
            nursery.start_soon(append, letter)
    assert sorted((await prepared.read_credential("a.json")).content) == list(b"abcde")


async def test_deleting_tells_whether_there_was_one(prepared):
    await prepared.write_credential("a.json", b"{}")
    assert await prepared.delete_credential("a.json") is True
    assert await prepared.delete_credential("a.json") is False


# -------------------------------------------------------------------------------------------------- changes


async def test_a_fingerprint_changes_with_every_kind_of_change(prepared):
    seen = [await prepared.fingerprint()]

    async def changed():
        seen.append(await prepared.fingerprint())
        return seen[-1] != seen[-2]

    assert not await changed()
    config = await prepared.write_config("a: 1\n", expected=None)
    assert await changed()
    await prepared.write_config("a: 2\n", expected=config.digest)
    assert await changed()
    await prepared.write_credential("a.json", b"1")
    assert await changed()
    await prepared.write_credential("a.json", b"2")
    assert await changed()
    await prepared.delete_credential("a.json")
    assert await changed()
    (prepared.auth_dir / "notes.txt").write_bytes(b"x")
    assert not await changed()


async def test_every_call_is_a_checkpoint(store):
    with assert_checkpoints():
        await store.prepare()
    with assert_checkpoints():
        await store.read_config()
    with assert_checkpoints():
        await store.write_config("", expected=None)
    with assert_checkpoints():
        await store.list_credentials()
    with assert_checkpoints():
        await store.update_credential("a.json", lambda content: b"{}")
    with assert_checkpoints():
        await store.delete_credential("a.json")
    with assert_checkpoints():
        await store.fingerprint()


async def test_a_cancelled_caller_changes_nothing(prepared):
    with trio.CancelScope() as scope:
        scope.cancel()
        await prepared.write_credential("a.json", b"{}")
    assert scope.cancelled_caught
    assert await prepared.read_credential("a.json") is None


async def test_a_directory_that_cannot_be_listed_does_not_hide_the_configuration(prepared, monkeypatch):
    await prepared.write_config("a: 1\n", expected=None)

    def refuse(path):
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    seen = await prepared.fingerprint()
    assert seen.config is not None
    assert seen.credentials == {}
    assert str(prepared.auth_dir) in seen.problem
