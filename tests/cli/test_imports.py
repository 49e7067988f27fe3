"""``login -import``: what is found, what is taken over, what the owner is told."""

import json
import stat
from pathlib import Path

import pytest
from attrs import evolve

from cliproxy.cli import main
from cliproxy.errors import LoginError
from cliproxy.login.steps import Ask, Flow
from cliproxy.providers.base import Import, LoginInputs, LoginResult
from cliproxy.wire.jsontext import JsonObject, text
from support.vendor import VENDOR

Capture = pytest.CaptureFixture[str]
SECRET = "sk-ant-oat01-canary-0123456789abcdef"


def take_over(document: JsonObject, inputs: LoginInputs) -> Flow[LoginResult]:
    if not text(document, "token"):
        raise LoginError("the file holds no account", code="nothing_to_import", hint="Log in with -x.")
    name = yield Ask(key="email", prompt="Name", default="nobody")
    assert isinstance(name, str)
    return LoginResult(
        file_name=f"vendor-{name}.json",
        data={"type": "vendor", "token": text(document, "token"), "expired": text(document, "end")},
        label=name,
        notes=("Only half of it works.",),
    )


SOURCE = Import(
    program="Vendor CLI", home="VENDOR_HOME", directory=".vendor", file="auth.json", flow=take_over
)
OTHER = evolve(SOURCE, program="Other CLI", home="", directory=".other", rotates=False)
OWNER = evolve(VENDOR, key="codex", imports=(SOURCE,))
SECOND = evolve(VENDOR, key="qwen", imports=(OTHER,))
WITHOUT = evolve(VENDOR, key="kimi")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VENDOR_HOME", raising=False)
    monkeypatch.setattr("cliproxy.cli.login.PROVIDERS", (OWNER, SECOND, WITHOUT))
    (tmp_path / "config.yaml").write_text("auth-dir: auth\n")
    return tmp_path


def write(directory: Path, **members: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / "auth.json"
    path.write_text(json.dumps(members))
    return path


def saved(place: Path, name: str = "nobody") -> dict[str, object]:
    return json.loads((place / "auth" / f"vendor-{name}.json").read_text())


def test_a_login_is_taken_over_and_the_owner_told_what_that_means(place: Path, capsys: Capture) -> None:
    path = write(place / ".vendor", token=SECRET)
    before = path.read_bytes()
    assert main(["login", "codex", "-import"]) == 0
    assert saved(place)["token"] == SECRET
    assert stat.S_IMODE((place / "auth" / "vendor-nobody.json").stat().st_mode) == 0o600
    out = capsys.readouterr().out
    assert f"Vendor CLI, {path}: the login of nobody." in out
    assert f"Saved to {place / 'auth' / 'vendor-nobody.json'}" in out
    assert "Only half of it works." in out
    assert "Vendor CLI and cliproxy now share one login" in out
    assert "renews second is logged out. `cliproxy -gitlab-token-login` gives" in out
    assert SECRET not in out
    assert path.read_bytes() == before


def test_all_that_are_found_are_taken_over(place: Path, capsys: Capture) -> None:
    write(place / ".vendor", token="1")
    write(place / ".other", token="2")
    assert main(["login", "--import", "-email", "me"]) == 0
    assert saved(place, "me")["token"] == "2"
    out = capsys.readouterr().out
    assert "Vendor CLI and cliproxy now share" in out
    assert "Other CLI and cliproxy" not in out, "its tokens do not rotate"


def test_a_program_may_keep_its_login_elsewhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "moved", token="1")
    monkeypatch.setenv("VENDOR_HOME", str(place / "moved"))
    assert main(["login", "codex", "-import"]) == 0
    assert saved(place)["token"] == "1"


def test_nothing_is_found(place: Path, capsys: Capture) -> None:
    assert main(["login", "-import"]) == 1
    err = capsys.readouterr().err
    assert f"Vendor CLI: {place / '.vendor' / 'auth.json'}" in err
    assert f"Other CLI: {place / '.other' / 'auth.json'}" in err


def test_a_provider_without_a_program(place: Path, capsys: Capture) -> None:
    assert main(["login", "kimi", "-import"]) == 1
    assert (
        "kimi has no program whose login could be taken over; these have: codex, qwen"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("content", "words"), [("{}", "no account. Log in with -x."), ('{"token": "sk-', "not a JSON object")]
)
def test_one_that_cannot_be_used_does_not_keep_the_others_away(
    place: Path, capsys: Capture, content: str, words: str
) -> None:
    write(place / ".vendor").write_text(content)
    write(place / ".other", token="2")
    assert main(["login", "-import"]) == 1
    assert saved(place)["token"] == "2"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("here", "there", "token"),
    [
        ("2026-09-21T14:13:20Z", "2026-09-21T14:13:19Z", "here"),
        ("2026-09-21T14:13:20Z", "", "here"),
        ("2026-09-21T14:13:20Z", "2026-09-21T14:13:20Z", "there"),
        ("2026-09-21T14:13:20Z", "2026-09-22T14:13:20Z", "there"),
        ("", "2026-09-22T14:13:20Z", "there"),
    ],
)
def test_an_older_copy_does_not_replace_newer_tokens(
    place: Path, capsys: Capture, here: str, there: str, token: str
) -> None:
    """They have been renewed since, which has made the copy useless."""
    write(place / ".vendor", token="here", end=here)
    assert main(["login", "codex", "-import"]) == 0
    write(place / ".vendor", token="there", end=there)
    assert main(["login", "codex", "-import"]) == 0
    assert saved(place)["token"] == token
    assert ("holds newer tokens" in capsys.readouterr().out) is (token == "here")


def test_the_owners_settings_stay(place: Path) -> None:
    write(place / ".vendor", token="1")
    main(["login", "codex", "-import"])
    path = place / "auth" / "vendor-nobody.json"
    path.write_text(json.dumps({**saved(place), "disabled": True, "future": [1]}))
    assert main(["login", "codex", "-import"]) == 0
    assert {"disabled": True, "future": [1]}.items() <= saved(place).items()


def test_it_belongs_to_logins(place: Path, capsys: Capture) -> None:
    assert main(["-import"]) == 2
    assert "-import means nothing to `server`" in capsys.readouterr().err
