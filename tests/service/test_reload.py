"""Changed files are taken over, unusable ones are not, what did not change is left alone: with real files."""

import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import ConfigError, Kind
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.lineup import Rules
from cliproxy.routing.runtime import credential_place
from cliproxy.service.reload import LOOK_S, SETTLE_S, Reloader
from cliproxy.service.state import State
from cliproxy.stores.base import Fingerprint
from cliproxy.wire.secret import Secret
from support.reloading import ACCOUNT, HERE, VENDOR, World, errors, reading, world_of


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "auth").mkdir(mode=0o700)
    (tmp_path / "auth" / "me.json").write_text('{"type": "vendor", "token": "t"}')
    async with world_of(tmp_path) as started:
        yield started


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


async def test_turns_go_on_over_a_change(world: World) -> None:
    """Whose turn it is does not begin anew, neither for a name that is affected nor for the others."""
    for name in "abc":
        world.write(f"{name}.json", model_aliases=[{"name": f"model-of-{name}.json", "alias": "any"}])
    await world.settled()
    deps = world.service.deps()

    def turn() -> str:
        candidates = world.service.snapshots.current().registry.candidates("any")
        choice = deps.selector.pick("any", candidates, 0.0, rules=Rules())
        assert isinstance(choice, Candidate)
        return choice.credential.id

    assert [turn(), turn()] == ["a.json", "b.json"]
    world.write("me.json", priority=1)
    world.configure("request-retry: 1\n")
    await world.settled()
    assert turn() == "c.json"
    world.write("c.json", note="edited", model_aliases=[{"name": "model-of-c.json", "alias": "any"}])
    await world.settled()
    assert [turn(), turn(), turn()] == ["a.json", "b.json", "c.json"]


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
        again = Reloader(
            service=world.service,
            state=world.reloader.state,
            providers=[VENDOR],
            binding=HERE,
            read_config=world.reloader.read_config,
        )
        with reading() as read:
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
