"""Changed files are taken over, unusable ones are not, what did not change is left alone: with real files."""

import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.environment import ConfigSource
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, CredentialId, Token, TokenSlot
from cliproxy.errors import ConfigError, Kind
from cliproxy.login.steps import Flow, Persist
from cliproxy.providers.base import Provider, SlotPolicy
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import credential_place
from cliproxy.service.listen import LOOPBACKS, Binding
from cliproxy.service.reload import LOOK_S, SETTLE_S, Reloader
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import State, complete, read_config
from cliproxy.stores.base import Fingerprint, StoredFile
from cliproxy.stores.file import FileStore
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret
from support.routes import credential

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX systems")
ACCOUNT = TokenSlot.ACCOUNT


def initial(wanted: Credential) -> Token | None:
    value = text(wanted.data, "token")
    return Token(value=Secret(value), expires_at=1.0) if value else None


def renew(wanted: Credential, _tokens: object) -> Flow[Token]:
    value = text(wanted.data, "token") + "+"
    yield Persist(patch={"token": value})
    return Token(value=Secret(value), expires_at=10**10)


VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda credential: (ModelInfo(id=f"model-of-{credential.id}"),),
    slots={ACCOUNT: SlotPolicy(initial=initial, renew=renew)},
    sections=(Section(key="claude-api-key", provider="vendor"),),
    codec=CredentialCodec(type="vendor", provider="vendor", tokens=("token",)),
)
HERE = Binding(LOOPBACKS, 0, "")
ALL = Binding(("",), 0, "")


@define
class World:
    """A service, its files, and the reloader between them."""

    path: Path
    service: Service
    reloader: Reloader
    reviewed: list[set[str]] = field(factory=list)

    @property
    def config_path(self) -> Path:
        return self.path / "c.yaml"

    def write(self, name: str, **members: Any) -> None:
        """Write a credential file in place."""
        content = json.dumps({"type": "vendor", "token": "t", **members})
        (self.path / "auth" / name).write_text(content)

    def configure(self, lines: str) -> None:
        self.config_path.write_text(f"port: 0\nauth-dir: auth\n{lines}")

    async def settled(self) -> None:
        """Look until everything has come to rest."""
        await self.reloader.look()
        await self.reloader.look()

    def names(self) -> list[str]:
        return [str(each.id) for each in self.service.snapshots.current().credentials]

    def models(self) -> list[str]:
        return self.service.snapshots.current().registry.names()


@asynccontextmanager
async def world_of(path: Path, *, binding: Binding = HERE, lines: str = "") -> AsyncIterator[World]:
    (path / "auth").mkdir(mode=0o700, exist_ok=True)
    config = path / "c.yaml"
    if not config.exists():
        config.write_text(f"port: 0\nauth-dir: auth\n{lines}")
    source = ConfigSource(path=config, explicit=True)

    async def again() -> Any:
        return await read_config(source, path)

    state = await complete(await again(), [VENDOR])
    reviewed: list[set[str]] = []

    def review(differing: Collection[CredentialId]) -> None:
        reviewed.append({str(each) for each in differing})

    async with opened(state, [VENDOR], [credential("built-in", "vendor")]) as service:
        reloader = Reloader(
            service=service,
            state=state,
            providers=[VENDOR],
            binding=binding,
            read_config=again,
            extra=[credential("built-in", "vendor")],
            review=review,
        )
        world = World(path, service, reloader, reviewed)
        await world.settled()
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "auth").mkdir(mode=0o700)
    (tmp_path / "auth" / "me.json").write_text('{"type": "vendor", "token": "t"}')
    async with world_of(tmp_path) as started:
        yield started


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- credentials ----------------------------------------------------------------------------------


async def test_nothing_happens_while_nothing_changes(world: World) -> None:
    before = world.service.snapshots.current()
    os.utime(world.path / "auth" / "me.json")
    os.utime(world.config_path)
    await world.settled()
    assert world.service.snapshots.current() is before
    assert world.reviewed == []
    assert world.service.reload_status.count == 0


async def test_a_new_file_is_a_new_account(world: World) -> None:
    world.write("new.json")
    await world.reloader.look()
    assert world.names() == ["me.json", "built-in"]
    await world.reloader.look()
    assert world.names() == ["me.json", "new.json", "built-in"]
    assert "model-of-new.json" in world.models()
    assert world.reviewed == [{"new.json"}]
    status = world.service.reload_status
    assert (status.count, status.changed) == (1, ("new.json",))
    assert status.at is not None


async def test_a_removed_file_is_an_account_less_and_leaves_nothing_behind(world: World) -> None:
    place = credential_place(CredentialId("me.json"))
    world.service.runtime.put(place, RuntimeState(until=10**9, failures=1, kind=Kind.QUOTA))
    (world.path / "auth" / "me.json").unlink()
    await world.settled()
    assert world.names() == ["built-in"]
    assert world.service.tokens.status(CredentialId("me.json")) is None
    assert world.service.runtime.state(place).failures == 0


async def test_a_file_that_says_disabled_is_not_used(world: World) -> None:
    world.write("me.json", disabled=True)
    await world.settled()
    assert world.models() == ["model-of-built-in"]
    world.write("me.json")
    await world.settled()
    assert "model-of-me.json" in world.models()


async def test_an_edited_file_is_taken_over_and_the_others_are_left_alone(world: World) -> None:
    world.write("other.json")
    await world.settled()
    others = credential_place(CredentialId("other.json"))
    mine = credential_place(CredentialId("me.json"))
    for place in (others, mine):
        world.service.runtime.put(place, RuntimeState(until=10**9, failures=2, kind=Kind.AUTHENTICATION))
    before = {each.id: each for each in world.service.snapshots.current().credentials}
    world.reviewed.clear()
    world.write("me.json", priority=5, prefix="team")
    await world.settled()
    after = {each.id: each for each in world.service.snapshots.current().credentials}
    assert after["me.json"].priority == 5
    assert "team/model-of-me.json" in world.models()
    assert after["other.json"] == before["other.json"]
    assert world.reviewed == [{"me.json"}]
    assert world.service.runtime.state(others).failures == 2
    assert world.service.runtime.state(mine).failures == 0


async def test_a_used_up_quota_outlives_an_edit(world: World) -> None:
    place = credential_place(CredentialId("me.json"))
    world.service.runtime.put(place, RuntimeState(until=10**9, failures=1, kind=Kind.QUOTA))
    world.write("me.json", priority=5)
    await world.settled()
    assert world.service.runtime.state(place).failures == 1


async def test_a_new_login_in_the_same_file_brings_its_token(world: World) -> None:
    [me] = [each for each in world.service.snapshots.current().credentials if each.id == "me.json"]
    world.write("me.json", token="fresh")
    await world.settled()
    await world.service.tokens.refresh(me, ACCOUNT, 2)
    stored = json.loads((world.path / "auth" / "me.json").read_text())
    assert stored["token"] == "fresh+"


async def test_what_was_read_at_the_start_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir(mode=0o700)
    for name in ("good", "bad"):
        (tmp_path / "auth" / f"{name}.json").write_text('{"type": "vendor", "token": "t"}')
    (tmp_path / "auth" / "bad.json").write_text("{")
    async with world_of(tmp_path) as world:
        read: list[str] = []
        reread = FileStore.read_credential

        async def noted(store: FileStore, name: str) -> StoredFile | None:
            read.append(name)
            return await reread(store, name)

        again = Reloader(
            service=world.service,
            state=world.reloader.state,
            providers=[VENDOR],
            binding=HERE,
            read_config=world.reloader.read_config,
        )
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(FileStore, "read_credential", noted)
            await again.look()
            await again.look()
            assert read == ["bad.json"]
            await again.look(everything=True)
            assert read == ["bad.json", "bad.json", "good.json"]


async def test_what_says_the_same_stays_the_same_object(world: World) -> None:
    before = {each.id: each for each in world.service.snapshots.current().credentials}
    content = (world.path / "auth" / "me.json").read_text()
    (world.path / "auth" / "me.json").write_text(f"{content} ")
    world.write("new.json")
    await world.settled()
    after = {each.id: each for each in world.service.snapshots.current().credentials}
    assert sorted(after) == ["built-in", "me.json", "new.json"]
    assert after[CredentialId("me.json")] is before[CredentialId("me.json")]


async def test_our_own_renewals_rebuild_nothing(world: World) -> None:
    before = world.service.snapshots.current()
    [me] = [each for each in before.credentials if each.id == "me.json"]
    await world.service.tokens.refresh(me, ACCOUNT, 1)
    assert json.loads((world.path / "auth" / "me.json").read_text())["token"] == "t+"
    await world.settled()
    assert world.service.snapshots.current() is before
    assert world.reviewed == []


async def test_an_edit_beside_our_own_renewal_is_seen(world: World) -> None:
    [me] = [each for each in world.service.snapshots.current().credentials if each.id == "me.json"]
    world.write("me.json", priority=3)
    await world.service.tokens.refresh(me, ACCOUNT, 1)
    await world.settled()
    [now] = [each for each in world.service.snapshots.current().credentials if each.id == "me.json"]
    assert (now.priority, now.data["token"]) == (3, "t+")


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


# --- the configuration ----------------------------------------------------------------------------


async def test_keys_of_the_configuration_come_and_go(world: World) -> None:
    world.configure("claude-api-key: [{api-key: sk-ant-first-key-0001}, {api-key: sk-ant-second-key-002}]\n")
    await world.settled()
    assert len(world.names()) == 4
    first, second = world.names()[1:3]
    world.reviewed.clear()
    world.configure("claude-api-key: [{api-key: sk-ant-second-key-002}]\n")
    await world.settled()
    assert world.names() == ["me.json", second, "built-in"]
    assert world.reviewed == [{first}]


async def test_settings_take_effect(world: World) -> None:
    told: list[int] = []
    world.service.on_config.append(lambda config: told.append(config.limits.body_mb))
    world.configure("limits: {body-mb: 3}\ndebug: true\nproxy-url: http://127.0.0.1:9\n")
    logger = logging.getLogger("cliproxy")
    before = logger.level
    try:
        await world.settled()
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
    assert told == [3]
    assert world.service.config.proxy_url == Secret("http://127.0.0.1:9")
    assert world.reviewed == [set()]
    assert world.service.reload_status.changed == ("debug", "limits", "proxy-url")


async def test_what_needs_a_restart_is_named_once_and_the_rest_is_taken_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.config_path.write_text("port: 4711\nauth-dir: elsewhere\nrequest-retry: 8\n")
    await world.settled()
    assert world.service.config.request_retry == 8
    assert world.service.reload_status.restart == ("port", "auth-dir")
    world.config_path.write_text("port: 4711\nauth-dir: elsewhere\nrequest-retry: 9\n")
    await world.settled()
    said = [record.getMessage() for record in caplog.records if "restart" in record.getMessage()]
    assert said == ["takes effect after a restart only: port, auth-dir"]
    world.config_path.write_text("port: 0\nauth-dir: auth\n")
    await world.settled()
    assert world.service.reload_status.restart == ()


async def test_odd_keys_are_named_when_they_are_new(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.configure("reqest-retry: 8\n")
    await world.settled()
    world.configure("reqest-retry: 8\nrequest-retry: 8\n")
    await world.settled()
    said = [record.getMessage() for record in caplog.records if "reqest-retry" in record.getMessage()]
    assert len(said) == 1
    assert "line 3" in said[0]


# --- the rhythm -----------------------------------------------------------------------------------


@define
class Disk:
    """A store on which nothing takes any time."""

    auth_dir: Path = Path("auth")
    looks: list[float] = field(factory=list)
    stamps: Callable[[], dict[str, tuple[int, ...]]] = dict

    async def fingerprint(self) -> Fingerprint:
        await trio.lowlevel.checkpoint()
        self.looks.append(trio.current_time())
        return Fingerprint(credentials=self.stamps())

    async def read_credential(self, _name: str) -> None:
        await trio.lowlevel.checkpoint()


async def rhythm(world: World, disk: Disk, seconds: float, ask_at: float | None = None) -> list[float]:
    """When the reloader looks, within some seconds."""
    state = State(
        store=disk,  # type: ignore[arg-type]
        loaded=world.reloader.state.loaded,
        credentials=(),
    )

    async def never() -> Any:
        raise ConfigError("nobody asks for it", [])

    subject = Reloader(
        service=world.service, state=state, providers=[VENDOR], binding=HERE, read_config=never
    )
    begin = trio.current_time()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run)
            if ask_at is not None:
                await trio.sleep(ask_at)
                world.service.reload()
    return [at - begin for at in disk.looks]


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rests depend on how fast the machine is."""
    monkeypatch.setattr("cliproxy.service.reload.REST", 0.0)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as started:
        yield started


@pytest.mark.usefixtures("no_rest")
async def test_looks_come_in_a_rhythm_and_sooner_after_a_change(
    idle: World, autojump_clock: trio.testing.MockClock
) -> None:
    calm = await rhythm(idle, Disk(), 3.5)
    assert calm == pytest.approx([LOOK_S, 2 * LOOK_S, 3 * LOOK_S])
    restless = Disk()
    restless.stamps = lambda: {"f.json": (len(restless.looks),)}
    assert await rhythm(idle, restless, 2.2) == pytest.approx(
        [LOOK_S, LOOK_S + SETTLE_S, LOOK_S + 2 * SETTLE_S]
    )


@pytest.mark.usefixtures("no_rest")
async def test_who_asks_does_not_wait(idle: World, autojump_clock: trio.testing.MockClock) -> None:
    assert (await rhythm(idle, Disk(), 1.4, ask_at=0.3))[0] == pytest.approx(0.3)
    assert not idle.service.reload_wanted.is_set()


@pytest.mark.usefixtures("no_rest")
async def test_a_fault_does_not_end_the_looks(
    idle: World, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble() -> dict[str, tuple[int, ...]]:
        raise RuntimeError("out of order")

    assert len(await rhythm(idle, Disk(stamps=stumble), 3.5)) == 3
    assert errors(caplog) == ["looking for changed files failed"] * 3
