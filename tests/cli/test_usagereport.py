"""``usage``: sums by everything, for people and for programs; files out of one database and into another."""

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from cliproxy.cli import main
from cliproxy.cli.usagereport import as_json, label, table
from cliproxy.stores.rows import DAY_S, NS_PER_S, SUMMED, Batch, RequestRow, Sums, Tokens
from cliproxy.stores.state import StateFile
from cliproxy.stores.usage import Group
from support.usage import attempt, request

Capture = pytest.CaptureFixture[str]
NOW = 1_900_000_000
TOKENS = Tokens(fresh_input=900, cache_read=100, cache_write=200, output=40, reasoning=10)


def today(**facts: Any) -> RequestRow:
    """A request of the present day, a day after the one that ``days_ago`` says."""
    at = (NOW - facts.pop("days_ago", 0) * DAY_S) * NS_PER_S
    made = evolve(attempt(tokens=TOKENS, cost_micros=1_234_000), started_ns=at, **facts.pop("attempt", {}))
    return evolve(request(0, made), started_ns=at, **facts)


ROWS = (
    today(),
    today(
        outcome="error",
        attempt={
            "outcome": "error",
            "model": "n",
            "tokens": Tokens(fresh_input=1),
            "cost_micros": None,
        },
    ),
    today(days_ago=1, client_id="beef", client="bob", attempt={"provider": "q", "credential": "b.json"}),
    today(days_ago=60),
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No day ends during a test."""
    monkeypatch.setattr("cliproxy.cli.usagereport.time", SimpleNamespace(time=lambda: float(NOW)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"auth-dir: {tmp_path}\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """The database, open as a server has it."""
    opened = StateFile(tmp_path / "state" / "cliproxy.db")
    opened.write(Batch(requests=ROWS))
    return opened


def usage(config: Path, *arguments: str) -> int:
    return main(["usage", *arguments, "-config", str(config)])


def shown(config: Path, capsys: Capture, *arguments: str) -> Any:
    assert usage(config, "-json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_days_are_shown_while_a_server_has_the_database_open(
    config: Path, file: StateFile, capsys: Capture
) -> None:
    assert usage(config) == 0
    head, yesterday, day, whole, *notes = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "day (UTC) requests errors cancelled input cached output USD"
    assert yesterday.split()[1:] == ["1", "0", "0", "1,200", "100", "50", "1.23"]
    assert day.split()[1:] == ["2", "1", "0", "1,201", "100", "50", "1.23"]
    assert whole.split() == ["all", "3", "1", "0", "2,401", "200", "100", "2.47"]
    assert "whoever pays" in notes[0]
    assert notes[1] == "1 attempts have no known price and are not in it."
    assert len({len(line) for line in (head, yesterday, day, whole)}) == 1
    file.close()


@pytest.mark.parametrize(
    ("by", "requests"),
    [
        ("model", {"m": 2, "n": 1}),
        ("provider", {"p": 2, "q": 1}),
        ("credential", {"a.json": 2, "b.json": 1}),
        ("client", {"***cdef": 2, "bob": 1}),
    ],
)
def test_usage_by_everything(
    config: Path, file: StateFile, capsys: Capture, by: str, requests: dict[str, int]
) -> None:
    file.close()
    groups = shown(config, capsys, "-by", by)
    assert {group[by]: group["requests"] for group in groups} == requests
    assert all(set(SUMMED) <= set(group) for group in groups)
    tokens = [group["fresh_input"] + group["output"] for group in groups]
    assert tokens == sorted(tokens, reverse=True)


@pytest.mark.parametrize(("days", "requests"), [("1", 2), ("2", 3), ("61", 4), ("0", 4)])
def test_how_far_back(config: Path, file: StateFile, capsys: Capture, days: str, requests: int) -> None:
    file.close()
    for by in ("day", "hour"):
        groups = shown(config, capsys, "-days", days, "-by", by)
        assert sum(group["requests"] for group in groups) == requests
        assert [group[by] for group in groups] == sorted(group[by] for group in groups)


def test_nothing_used_is_an_empty_list(config: Path, tmp_path: Path, capsys: Capture) -> None:
    file = StateFile(tmp_path / "state" / "cliproxy.db")
    file.load()
    file.close()
    assert shown(config, capsys) == []
    assert usage(config) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["all", *["0"] * 6, "0.00"]


@pytest.mark.parametrize("arguments", [(), ("export", "x.json")])
def test_without_a_database_it_is_said(config: Path, capsys: Capture, arguments: tuple[str, ...]) -> None:
    assert usage(config, *arguments) == 1
    said = capsys.readouterr()
    assert "there is no database at" in said.err
    assert "nothing has been used yet" in said.err
    assert said.out == ""


def test_a_database_that_is_none_is_named(config: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "state" / "cliproxy.db"
    path.parent.mkdir()
    path.write_bytes(b"nonsense" * 1000)
    assert usage(config) == 1
    assert f"{path}: file is not a database" in capsys.readouterr().err
    assert path.read_bytes() == b"nonsense" * 1000


def test_a_wrong_configuration_is_named(config: Path, capsys: Capture) -> None:
    config.write_text("port: many\n")
    assert usage(config) == 1
    assert "port: must be a number" in capsys.readouterr().err


# --- files ------------------------------------------------------------------------------------------------


def test_what_is_taken_out_can_be_taken_in_once(
    config: Path, file: StateFile, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "usage.json"
    assert usage(config, "export", str(target)) == 0
    assert "4 of 4 attempts one by one." in capsys.readouterr().out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    document = json.loads(target.read_text())
    assert (document["version"], document["usage"]["total_requests"]) == (1, 4)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = elsewhere / "config.yaml"
    other.write_text(f"auth-dir: {elsewhere}\n")
    for said in ("4 attempts were added; 0 were there already.", "0 attempts were added; 4 were there"):
        assert usage(other, "import", str(target)) == 0
        assert said in capsys.readouterr().out
    here, there = (shown(each, capsys, "-by", "model", "-days", "0") for each in (config, other))
    ignored = {"duration_us", "first_byte_us", "first_bytes"}
    assert [{**group, **dict.fromkeys(ignored)} for group in there] == [
        {**group, **dict.fromkeys(ignored)} for group in here
    ]
    assert usage(config, "import", str(target)) == 0
    assert "0 attempts were added" in capsys.readouterr().out
    file.close()


def test_a_server_that_has_the_database_open_goes_on_after_an_import(
    config: Path, file: StateFile, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "usage.json"
    assert usage(config, "export", str(target)) == 0
    target.write_text(target.read_text().replace("me@example.org", "you@example.org"))
    assert usage(config, "import", str(target)) == 0
    assert "4 attempts were added; 0 were there already." in capsys.readouterr().out
    file.write(Batch(requests=(today(),)))
    assert sum(group["requests"] for group in shown(config, capsys, "-days", "0")) == 9
    file.close()


def test_names_of_providers_are_no_keys(config: Path, tmp_path: Path, capsys: Capture) -> None:
    """Older servers put what came without a key under the name of the provider."""
    config.write_text(
        f"auth-dir: {tmp_path}\nopenai-compatibility:\n"
        '  - {name: Lab, base-url: "http://127.0.0.1:9/v1", models: [{name: m}]}\n'
    )
    names = ["lab", "claude", "a-key-of-a-client"]
    apis = {name: {"models": {"m": {"details": [{"timestamp": "2030-03-17T12:00:00Z"}]}}} for name in names}
    origin = tmp_path / "usage.json"
    origin.write_text(json.dumps({"usage": {"apis": apis}}))
    assert usage(config, "import", str(origin)) == 0
    capsys.readouterr()
    clients = {group["client"] for group in shown(config, capsys, "-by", "client", "-days", "0")}
    assert clients == {"lab", "claude", "***ient"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("{", "it is not what `usage export` writes"),
        ("[]", "no usage can be read"),
        ('{"version": 2, "usage": {}}', "version 2, and only 1 is known"),
        ('{"version": 1}', "there is no `usage` in it"),
    ],
)
def test_what_is_no_usage_is_refused(
    config: Path, tmp_path: Path, capsys: Capture, content: str | None, said: str
) -> None:
    origin = tmp_path / "usage.json"
    if content is not None:
        origin.write_text(content)
    assert usage(config, "import", str(origin)) == 1
    assert said in capsys.readouterr().err


# --- the shapes -------------------------------------------------------------------------------------------


def test_every_group_is_a_line_of_the_list() -> None:
    groups = [Group(model=name, sums=Sums(requests=1)) for name in ("a", "b")]
    lines = as_json(groups, "model")
    assert len(lines) == 4
    assert [group["model"] for group in json.loads("\n".join(lines))] == ["a", "b"]
    assert json.loads("\n".join(as_json([], "model"))) == []


def test_what_has_no_name_is_a_dash_for_people() -> None:
    [_, row, *_] = table([Group(sums=Sums(requests=1))], "credential")
    assert row.startswith("- ")


def test_clients_with_the_same_mask_are_told_apart() -> None:
    ids = ("beef", "c0ffee", "c0de")
    groups = [
        Group(client=name, client_id=number, sums=Sums())
        for name, number in zip(("***", "***", "bob"), ids, strict=True)
    ]
    first, second, third = (line.split("  ")[0] for line in table(groups, "client")[1:4])
    assert (first, second, third) == ("*** (beef)", "*** (c0ffee)", "bob")


def test_what_has_no_known_price_has_none() -> None:
    groups = [
        Group(model=name, sums=Sums(attempts=1, unpriced=count)) for name, count in (("a", 1), ("b", 0))
    ]
    _, unknown, free, *_ = table(groups, "model")
    assert (unknown.split()[-1], free.split()[-1]) == ("-", "0.00")


def test_times_are_those_of_utc() -> None:
    group = Group(start=1_700_049_600, sums=Sums())
    assert (label(group, "day"), label(group, "hour")) == ("2023-11-15", "2023-11-15 12:00")
