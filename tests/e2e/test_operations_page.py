"""What the page about operations says is what there is."""

import configparser
import random
import re
import shlex
from pathlib import Path

import pytest
import trio

from cliproxy.cli.flags import parse
from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.exchange.cause import EndedBy, Phase
from cliproxy.net.http import Upstreams
from cliproxy.observe.metrics import Counts, Sort
from cliproxy.server.monitor import queues
from cliproxy.service.ledger import Ledger
from cliproxy.service.logfiles import LogFiles
from cliproxy.service.metrics import Metrics
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.state import StateFile
from support.application import application
from support.exchange import bottle
from support.server import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def table(head: str) -> dict[str, list[str]]:
    """The rows of the table with some heading, by their first cell."""
    rows = PAGE.split(f"\n| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {first.strip("`| "): rest for first, *rest in cells}


@pytest.mark.parametrize(("head", "letters"), [("First letter", EndedBy), ("Second letter", Phase)])
def test_letters_are_explained(head: str, letters: type[EndedBy] | type[Phase]) -> None:
    assert set(table(head)) == {letter.value for letter in letters}


def test_settings_have_the_defaults_that_are_told() -> None:
    keys = keys_of(Config)
    for name, (default, _) in table("Setting").items():
        assert str(keys[name].default).lower() == default.strip("`"), name
        assert keys[name].info.active


class Tokens:
    """Renews nothing."""

    renewals = Counts()


async def test_every_figure_is_told_with_its_labels(tmp_path: Path) -> None:
    world = application(bottle())._world
    service = Service(
        snapshots=Snapshots({}, Config(), ()),
        upstreams=Upstreams(),
        tokens=Tokens(),  # type: ignore[arg-type]
        rng=random.Random(1),
    )
    service.ledger = Ledger(
        file=StateFile(tmp_path / "x.db"),
        snapshots=service.snapshots,
        runtime=service.runtime,
        wall=lambda: 7.0,
        monotonic=trio.current_time,
    )
    families = [*Metrics(service).families(), *queues(world), *LogFiles(service, (), None).figures()]
    shown = {
        family.name + ("_total" if family.sort is Sort.COUNTER else ""): set(family.labels)
        for family in families
    }
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, (labels, _) in table("Figure").items()}
    assert {name: labels for name, labels in told.items() if name != "process_…"} == shown


def test_the_unit_starts_the_server() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(PAGE.split("```ini\n")[1].split("```")[0])
    assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"}
    service = unit["Service"]
    assert service["Type"] == "notify-reload"
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.startswith("/")
    assert parse(arguments).command == "server"
    assert int(service["TimeoutStopSec"]) > Config().timeouts.drain_seconds
