"""``models``: what the accounts serve, whoever cannot be asked."""

from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.providers import PROVIDERS
from support.vendor import VENDOR, account

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The auth directory of a place of its own."""
    monkeypatch.chdir(tmp_path)
    for module in ("models", "world"):
        monkeypatch.setattr(f"cliproxy.cli.{module}.PROVIDERS", (*PROVIDERS, VENDOR))
    (tmp_path / "config.yaml").write_text("auth-dir: auth\n")
    return tmp_path / "auth"


def test_nothing_to_list_is_a_failure(auth: Path, capsys: Capture) -> None:
    assert main(["models"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cliproxy login gitlab" in captured.err


def test_the_demo_needs_no_account(auth: Path, capsys: Capture) -> None:
    assert main(["models", "-demo"]) == 0
    assert capsys.readouterr().out.startswith("demo")


def test_what_upstreams_say_is_listed_in_columns(auth: Path, capsys: Capture) -> None:
    account(auth, "a", says=["zeta", "a-long-name"])
    account(auth, "b", says=["zeta"], prefix="team")
    assert main(["models"]) == 0
    listed, accounts = capsys.readouterr().out.split("\n\n")
    assert accounts.splitlines() == [
        "accounts:",
        "  a.json: vendor a@example.org; logged in",
        "  b.json: vendor b@example.org; prefix team; logged in",
    ]
    rows = [line.split() for line in listed.splitlines()]
    assert rows == [
        ["a-long-name", "vendor", "A-Long-Name"],
        ["team/zeta", "vendor", "Zeta"],
        ["zeta", "vendor", "Zeta"],
    ]


def test_an_alias_that_leads_nowhere_is_named(auth: Path, capsys: Capture) -> None:
    path = auth.parent / "config.yaml"
    aliases = "oauth-model-alias:\n  vendor: [{name: zeta, alias: z}, {name: gone, alias: g}]\n"
    path.write_text((path.read_text() if path.exists() else "") + aliases)
    account(auth, "a", says=["zeta"])
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert captured.out.split()[0] == "z"
    assert "`g` leads nowhere" in captured.err


def test_who_cannot_be_asked_is_named_and_serves_what_is_known(
    auth: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliproxy.cli.models.LIMIT_S", 0.2)
    account(auth, "a", fails="the token has ended")
    account(auth, "b", hangs=True)
    account(auth, "c").write_text("nonsense")
    account(auth, "d", fails="is not asked", disabled=True)
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert captured.out.split()[:2] == ["static", "vendor"]
    complaints = captured.err.splitlines()
    assert complaints[0].startswith("cliproxy: not used: c.json: ")
    assert sorted(complaints[1:]) == [
        "cliproxy: a.json: the token has ended",
        "cliproxy: b.json: no answer within 0.2 s",
    ]


@pytest.mark.parametrize(("text", "said"), [("port: x\n", "line 1: port"), (None, "there is no such file")])
def test_a_configuration_that_cannot_be_used(
    auth: Path, text: str | None, said: str, capsys: Capture
) -> None:
    path = auth.parent / "other.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["models", "-config", "other.yaml"]) == 1
    assert f"cliproxy: {path}: {said}" in capsys.readouterr().err
