"""Why requests cannot be served."""

import random
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.errors import Kind
from cliproxy.net.http import Upstreams
from cliproxy.providers.base import Provider
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import credential_place
from cliproxy.service.ledger import Ledger
from cliproxy.service.readiness import Condition, condition_of, details, obstacles
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.state import StateFile
from cliproxy.wire.jsontext import dumps
from support.routes import credential


class Tokens:
    """Logins that have ended."""

    def __init__(self, dead: str) -> None:
        self.dead = dead

    def is_dead(self, account: CredentialId) -> bool:
        return account in self.dead


def service(*credentials: Credential, dead: str = "-", models: tuple[str, ...] = ("m",)) -> Service:
    provider = Provider(
        key="p",
        label="P",
        contracts_for=lambda _credential, _model, _action: (),
        static_models=lambda _credential: tuple(ModelInfo(id=model) for model in models),
    )
    return Service(
        snapshots=Snapshots({"p": provider}, Config(), credentials),
        upstreams=Upstreams(),
        tokens=Tokens(dead),  # type: ignore[arg-type]
        rng=random.Random(1),
    )


GOOD = credential("a")
OFF = credential("b", disabled=True)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (((GOOD,), {}), []),
        (((GOOD, OFF), {}), []),
        (((), {}), ["no_usable_credential", "no_model"]),
        (((OFF,), {}), ["no_usable_credential", "no_model"]),
        (((GOOD,), {"dead": "a"}), ["no_usable_credential"]),
        (((GOOD,), {"models": ()}), ["no_model"]),
    ],
)
def test_a_model_and_somebody_to_serve_it_are_needed(
    facts: tuple[tuple[Credential, ...], dict[str, Any]], why: list[str]
) -> None:
    credentials, more = facts

    async def main() -> list[str]:
        return obstacles(service(*credentials, **more))

    assert trio.run(main) == why


async def test_a_server_that_stops_is_not_ready() -> None:
    subject = service(GOOD)
    subject.stop()
    assert obstacles(subject) == ["stopping"]


async def test_who_rests_is_usable(autojump_clock: trio.testing.MockClock) -> None:
    subject = service(GOOD)
    state = RuntimeState(until=trio.current_time() + 60, failures=1, kind=Kind.QUOTA)
    subject.runtime.put(credential_place("a"), state)
    assert condition_of(subject, GOOD) is Condition.RESTING
    assert obstacles(subject) == []
    await trio.sleep(61)
    assert condition_of(subject, GOOD) is Condition.READY


async def test_the_owner_is_told_more() -> None:
    subject = service(GOOD, OFF, credential("c"), dead="c")
    subject.checks["other"] = lambda: {"state": "ok"}
    told = details(subject)
    assert told["credentials"] == {
        "total": 3,
        "usable": 1,
        "ready": 1,
        "resting": 0,
        "needs_login": 1,
        "disabled": 1,
    }
    assert (told["stopping"], told["models"], told["jobs"]) == (False, 1, {})
    assert told["other"] == {"state": "ok"}
    assert told["database"] is None
    assert dumps(told)


async def test_the_database_is_part_of_the_state(tmp_path: Path) -> None:
    subject = service(GOOD)
    subject.ledger = Ledger(
        file=StateFile(tmp_path / "no" / "such" / "place" / "x.db"),
        snapshots=subject.snapshots,
        runtime=subject.runtime,
        wall=lambda: 7.0,
        monotonic=trio.current_time,
    )
    assert details(subject)["database"] == {"trouble": None, "since": None, "waiting": 0}
    (tmp_path / "no").write_text("a file")
    await subject.ledger.open()
    told = details(subject)["database"]
    assert isinstance(told, dict)
    assert told["trouble"]
    assert obstacles(subject) == []
