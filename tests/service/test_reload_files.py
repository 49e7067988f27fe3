"""However files are written, and whatever goes wrong: what is whole counts, and nothing gets worse."""

import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cliproxy.service.changes import ONCE_MORE_S
from cliproxy.service.reload import READ_AGAIN_S
from support.reloading import ALL, World, errors, reading, world_of

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX systems")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "auth").mkdir(mode=0o700)
    (tmp_path / "auth" / "me.json").write_text('{"type": "vendor", "token": "t"}')
    async with world_of(tmp_path) as started:
        yield started


# --- how files are written ------------------------------------------------------------------------


async def test_half_a_file_is_not_read(world: World, caplog: pytest.LogCaptureFixture) -> None:
    path = world.path / "auth" / "me.json"
    path.write_text('{"type": "vendor", "tok')
    await world.reloader.look()
    path.write_text('{"type": "vendor", "token": "t", "priority": 2}')
    await world.settled()
    assert errors(caplog) == []
    assert world.service.snapshots.current().credentials[0].priority == 2


async def test_half_a_configuration_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """The first half of a file is often valid, too."""
    async with world_of(tmp_path, lines="debug: false\napi-keys: [first-key-of-mine]\n") as world:
        world.config_path.write_text("port: 0\n")
        await world.reloader.look()
        with world.config_path.open("a") as file:
            file.write("auth-dir: auth\nrequest-retry: 7\napi-keys: [first-key-of-mine]\n")
        await world.reloader.look()
        assert world.service.config.request_retry == 3
        await world.reloader.look()
        assert world.service.config.request_retry == 7
        assert len(world.service.config.api_keys) == 1


async def test_files_are_replaced_by_renaming(world: World) -> None:
    for path, content in (
        (world.path / "auth" / "me.json", '{"type": "vendor", "token": "t", "priority": 4}'),
        (world.config_path, "port: 0\nauth-dir: auth\nrequest-retry: 5\n"),
    ):
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(content)
        temporary.replace(path)
    await world.settled()
    assert world.service.snapshots.current().credentials[0].priority == 4
    assert world.service.config.request_retry == 5


@posix_only
async def test_a_linked_configuration_is_followed(tmp_path: Path) -> None:
    """Mounted configuration directories switch a link from one directory to the next."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "c.yaml").write_text(f"port: 0\nauth-dir: auth\nrequest-retry: {number}\n")
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "c.yaml").symlink_to("data/c.yaml")
    async with world_of(tmp_path) as world:
        assert world.service.config.request_retry == 1
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "data")
        await world.settled()
        assert world.service.config.request_retry == 2


@posix_only
async def test_a_linked_directory_of_accounts_is_followed(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir(mode=0o700)
        content = json.dumps({"type": "vendor", "token": "t", "priority": number})
        (tmp_path / f"v{number}" / "me.json").write_text(content)
    (tmp_path / "v2" / "new.json").write_text('{"type": "vendor", "token": "t"}')
    (tmp_path / "auth").symlink_to("v1")
    async with world_of(tmp_path) as world:
        assert world.names() == ["me.json", "built-in"]
        (tmp_path / "link").symlink_to("v2")
        (tmp_path / "link").rename(tmp_path / "auth")
        await world.settled()
        assert world.names() == ["me.json", "new.json", "built-in"]
        assert world.service.snapshots.current().credentials[0].priority == 2


@posix_only
async def test_an_account_that_becomes_a_link_stays_as_it_was(world: World, tmp_path: Path) -> None:
    """A link could make the server read files that are none of its business."""
    (tmp_path / "elsewhere").write_text('{"type": "vendor", "token": "t", "priority": 9}')
    (world.path / "auth" / "me.json").unlink()
    (world.path / "auth" / "me.json").symlink_to(tmp_path / "elsewhere")
    await world.settled()
    assert world.names() == ["me.json", "built-in"]
    assert world.service.snapshots.current().credentials[0].priority == 0
    assert list(world.service.reload_status.problems) == ["me.json"]


async def test_a_change_is_read_once_more_in_case_the_times_are_coarse(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world_of(tmp_path) as world:
        world.write("me.json")
        await world.settled()
        with reading() as read:
            await world.settled()
            assert read == []
            await trio.sleep(ONCE_MORE_S)
            await world.settled()
            await world.settled()
            assert read == ["me.json"]
        assert world.reviewed == [{"me.json"}]


@pytest.mark.parametrize("name", [".me.json.swp", "me.json~", "4913", ".new.json", "x.json.tmp", "notes.txt"])
async def test_what_editors_leave_is_nothing(
    world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = world.service.snapshots.current()
    (world.path / "auth" / name).write_text("{")
    await world.settled()
    assert world.service.snapshots.current() is before
    assert errors(caplog) == []


# --- what cannot be used --------------------------------------------------------------------------


async def test_an_unusable_credential_file_leaves_the_account_as_it_was(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (world.path / "auth" / "me.json").write_text("{half")
    for _ in range(5):
        await world.reloader.look()
    assert "me.json" in world.names()
    [said] = errors(caplog)
    assert said.startswith("not taken over, what was read before stays in force: me.json: ")
    assert set(world.service.reload_status.problems) == {"me.json"}
    world.write("me.json", priority=1)
    await world.settled()
    assert world.service.reload_status.problems == {}
    assert world.service.snapshots.current().credentials[0].priority == 1


async def test_what_was_unusable_at_the_start_is_not_said_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "auth").mkdir(mode=0o700)
    (tmp_path / "auth" / "bad.json").write_text("{half")
    async with world_of(tmp_path) as world:
        assert errors(caplog) == []
        assert set(world.service.reload_status.problems) == {"bad.json"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("port: 0\nauth-dir: auth\nhost: [\n", "line 4"),
        ("port: 0\nrequest-retry: many\n", "line 2: request-retry"),
        ("", "is empty"),
        (" \n", "is empty"),
        (None, "there is no such file"),
        ("port: 0\nhost: 0.0.0.0\n", "line 2: host: `0.0.0.0` is reachable"),
        ("port: 0\ntls: {enable: true, cert: nowhere.pem, key: nowhere.pem}\n", "nowhere.pem cannot be read"),
    ],
)
async def test_an_unusable_configuration_leaves_the_running_one(
    world: World, content: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = world.service.config
    if content is None:
        world.config_path.unlink()
    else:
        world.config_path.write_text(content)
    for _ in range(5):
        await world.reloader.look()
    assert world.service.config is before
    [message] = errors(caplog)
    assert said in message
    assert str(world.config_path) in message
    assert list(world.service.reload_status.problems) == [str(world.config_path)]
    world.configure("request-retry: 9\n")
    await world.settled()
    assert world.service.config.request_retry == 9
    assert world.service.reload_status.problems == {}


async def test_who_asks_hears_what_is_wrong_once_more(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.config_path.write_text("port: [\n")
    await world.settled()
    await world.reloader.look(everything=True)
    await world.reloader.look()
    assert len(errors(caplog)) == 2


async def test_who_asks_sees_what_is_right_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.write("me.json")
    (world.path / "auth" / "me.json").write_text("{")
    await world.settled()
    assert set(world.service.reload_status.problems) == {"me.json"}
    world.write("me.json")
    await world.reloader.look(everything=True)
    assert world.service.reload_status.problems == {}
    assert "can be used again: me.json" in caplog.messages


async def test_a_server_that_others_reach_keeps_its_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world_of(tmp_path, binding=ALL, lines="api-keys: [first-key-of-mine]\n") as world:
        world.configure("request-retry: 7\n")
        await world.settled()
        assert len(world.service.config.api_keys) == 1
        assert world.service.config.request_retry == 3
        [said] = errors(caplog)
        assert "anybody could use your accounts" in said


@posix_only
async def test_an_auth_directory_that_cannot_be_listed_takes_no_account_away(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration is still watched."""

    def refuse(_path: object) -> object:
        raise PermissionError(13, "no", str(world.path / "auth"))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        world.configure("request-retry: 6\n")
        await world.settled()
        await world.settled()
        assert "me.json" in world.names()
        assert world.service.config.request_retry == 6
        assert list(world.service.reload_status.problems) == [str(world.path / "auth")]
    await world.settled()
    assert world.service.reload_status.problems == {}
    assert len(errors(caplog)) == 1


async def test_a_directory_that_disappears_takes_no_account_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk may come back, with the files as they were or with others."""
    before = world.service.snapshots.current()
    (world.path / "auth").rename(world.path / "away")
    for _ in range(4):
        await world.reloader.look()
    assert world.service.snapshots.current() is before
    auth = str(world.path / "auth")
    assert dict(world.service.reload_status.problems) == {auth: f"{auth} is gone"}
    (world.path / "away").rename(world.path / "auth")
    world.write("new.json")
    await world.settled()
    assert world.names() == ["me.json", "new.json", "built-in"]
    assert world.service.reload_status.problems == {}
    assert len(errors(caplog)) == 1


async def test_nobody_misses_a_directory_that_held_no_account(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        (tmp_path / "auth").rmdir()
        await world.settled()
        assert world.service.reload_status.problems == {}


async def test_what_cannot_be_read_any_more_stays_as_it_was(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is tried again later, without a change. Who may read everything, as tests often may, is refused by
    hand."""
    before = world.service.config
    opened_file = os.open
    files = {str(world.path / "auth" / "me.json"), str(world.config_path)}

    def refuse(path: Any, *arguments: Any, **settings: Any) -> int:
        if str(path) in files:
            raise PermissionError(13, "Permission denied", str(path))
        return opened_file(path, *arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        world.write("me.json", priority=3)
        world.configure("request-retry: 6\n")
        for _ in range(4):
            await world.reloader.look()
        assert "me.json" in world.names()
        assert world.service.config is before
        assert set(world.service.reload_status.problems) == {"me.json", str(world.config_path)}
        assert len(errors(caplog)) == 2
    await trio.sleep(READ_AGAIN_S)
    await world.settled()
    assert world.service.snapshots.current().credentials[0].priority == 3
    assert world.service.config.request_retry == 6
    assert world.service.reload_status.problems == {}
