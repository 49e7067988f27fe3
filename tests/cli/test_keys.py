"""``keys``: new keys are strong, shown once and stored as hashes; the rest of the file stays as it was."""

from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.cli.keys import listed
from cliproxy.config.clientkeys import hash_of
from cliproxy.config.load import examine, load_config
from cliproxy.stores.rows import CounterRow

OLD = """\
# my server
port: 0   # any

client-keys:
  # her laptop
  - {name: alice, key: a-client-key-that-is-long}
routing:
  strategy: fill-first
"""
NOW = 1_900_000_000.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(OLD)
    return path


def make(config: Path, *arguments: str) -> int:
    return main(["keys", "new", "bob", "-config", str(config), *arguments])


def test_a_new_key_is_printed_with_its_entry(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(config, "-models", "gpt-*, claude-*", "-money-per-day", "2.5", "-expires=2030-12-31") == 0
    shown = capsys.readouterr().out
    key, rest = shown.split("\n", 1)
    assert len(key) > 40
    assert key not in rest
    [entry] = load_config(rest[rest.index("client-keys:") :]).config.client_keys
    assert (entry.name, entry.hash.reveal()) == ("bob", hash_of(key))
    assert (entry.models, entry.money_per_day, entry.expires) == (("gpt-*", "claude-*"), 2.5, "2030-12-31")
    assert config.read_text() == OLD


def test_a_saved_key_leaves_the_rest_of_the_file_alone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(config, "-save", "-tokens-per-day", "1000", "-note", "a: b") == 0
    key = capsys.readouterr().out.split("\n", 1)[0]
    text = config.read_text()
    _, entry = load_config(text).config.client_keys
    assert (entry.hash.reveal(), entry.tokens_per_day, entry.note) == (hash_of(key), 1000, "a: b")
    assert key not in text
    assert [line for line in OLD.splitlines() if line not in text.splitlines()] == []


def test_every_key_is_another(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = set()
    for _ in range(5):
        make(config)
        made.add(capsys.readouterr().out.split("\n", 1)[0])
    assert len(made) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-tokens-per-day", "lots"), "tokens-per-day: must be a number"),
        (("-tokens-per-day", "0"), "tokens-per-day: must be at least 1"),
        (("-expires", "soon"), "expires: is neither a date"),
        (("-expires", "2020-01-01"), "expires: 2020-01-01 is over"),
        (("-models", "a,,b"), "models[1]: is empty"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert make(config, "-save", *arguments) == 1
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
    assert config.read_text() == OLD


def test_a_name_is_given_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "Alice", "-save", "-config", str(config)]) == 1
    assert "name: is the name of an earlier client key" in capsys.readouterr().err


def test_there_must_be_a_file_to_write_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "new", "bob", "-save"]) == 1
    assert "cliproxy init" in capsys.readouterr().err
    assert main(["keys", "new", "bob"]) == 0


def test_a_file_that_is_no_text_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_bytes(b"\xff\xfe\xff")
    assert make(config, "-save") == 1
    assert "UTF" in capsys.readouterr().err


def test_the_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "-config", str(config)]) == 0
    assert capsys.readouterr().out == "alice  in force\n"
    config.write_text("port: 0\n")
    assert main(["keys", "list", "-config", str(config)]) == 0
    assert "no client keys" in capsys.readouterr().out
    config.write_text("client-keys: [{name: x}]\n")
    assert main(["keys", "-config", str(config)]) == 1


def test_the_list_says_what_a_key_may_do() -> None:
    """It is 2030-03-17."""
    text = """
api-keys: [a-client-key-that-is-long, another-client-key-as-long]
client-keys:
  - {name: a, key: fedcba9876543210-1, expires: 2030-03-16}
  - {name: bcd, key: fedcba9876543210-2, expires: 2030-03-17, tokens-per-day: 5, money-per-month: 1.5}
  - {name: e, key: fedcba9876543210-3, disabled: true, models: [x, y*], concurrent: 2}
"""
    assert list(listed(examine(text).config, NOW)) == [
        "a    expired: 2030-03-16",
        "bcd  in force until 2030-03-17; tokens-per-day 5; money-per-month 1.5",
        "e    switched off; models x, y*; concurrent 2",
        "2 without a name and limits, in api-keys",
    ]


def test_the_list_says_what_was_used() -> None:
    """It is 2030-03-17; what is from another day or month is over."""
    text = "client-keys: [{name: Alice, key: fedcba9876543210-1}, {name: bob, key: fedcba9876543210-2}]"
    counters = [
        CounterRow(key="alice", period="day", start=1_899_936_000, requests=3, tokens=5, micros=250_000),
        CounterRow(key="alice", period="month", start=1_898_553_600, requests=4, tokens=6, micros=2_000_000),
        CounterRow(key="bob", period="day", start=1_899_849_600, requests=1, tokens=1, micros=1),
        CounterRow(key="bob", period="week", start=1, requests=1, tokens=1, micros=1),
    ]
    assert list(listed(examine(text).config, NOW, counters)) == [
        "Alice  in force; today 3 requests, 5 tokens, 0.25 USD; this month 4 requests, 6 tokens, 2.00 USD",
        "bob    in force",
    ]
