"""``login``: what is asked, what is saved, and what the exit code says."""

import json
import socket
import stat
from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.cli.flags import LOGINS, parse
from cliproxy.cli.login import wants_private
from cliproxy.config.model import Config
from support.vendor import SECRET, VENDOR

Capture = pytest.CaptureFixture[str]
LOGIN = ["-gitlab-token-login", "-no-browser"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own, in which one login works without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cliproxy.cli.login.PROVIDERS", (VENDOR,))
    monkeypatch.setenv("VENDOR_USER", "me")
    (tmp_path / "config.yaml").write_text("auth-dir: auth\n")
    return tmp_path


def saved(place: Path) -> dict[str, object]:
    return json.loads((place / "auth" / "vendor-me.json").read_text())


def test_a_login_saves_a_private_file_and_says_where(place: Path, capsys: Capture) -> None:
    assert main(LOGIN) == 0
    path = place / "auth" / "vendor-me.json"
    assert saved(place)["token"] == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    out = capsys.readouterr().out
    assert f"Logged in as me. Saved to {path}" in out
    assert "Only half of it works." in out
    assert SECRET not in out


@pytest.mark.parametrize(
    ("config", "flags", "is_wanted"),
    [
        (False, [], False),
        (False, ["-incognito"], True),
        (True, [], True),
        (True, ["-no-incognito"], False),
        (True, ["-incognito", "-no-incognito"], True),
    ],
)
def test_who_wants_a_private_window(config: bool, flags: list[str], is_wanted: bool) -> None:
    arguments = parse(["login", "kimi", *flags])
    assert wants_private(Config(incognito_browser=config), arguments) is is_wanted


def test_a_second_login_keeps_what_the_owner_has_set(place: Path) -> None:
    main(LOGIN)
    path = place / "auth" / "vendor-me.json"
    mine = {"note": "mine", "priority": 7, "disabled": True, "future": [1]}
    path.write_text(json.dumps({**saved(place), **mine, "token": "old"}))
    assert main(LOGIN) == 0
    assert saved(place) == {**saved(place), **mine, "token": SECRET}


def test_a_file_that_was_broken_is_replaced(place: Path) -> None:
    main(LOGIN)
    (place / "auth" / "vendor-me.json").write_text("{half")
    assert main(LOGIN) == 0
    assert saved(place)["token"] == SECRET


def test_a_login_that_fails_says_why_and_what_to_do(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_USER", "stranger")
    assert main(LOGIN) == 1
    captured = capsys.readouterr()
    assert captured.err == "cliproxy: login failed: nobody knows ***\nAsk somebody.\n"
    assert SECRET not in captured.out
    assert not (place / "auth" / "vendor-me.json").exists()


def test_nobody_to_ask(place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VENDOR_USER")
    assert main(LOGIN) == 1
    err = capsys.readouterr().err
    assert "User: no value was given" in err
    assert "VENDOR_USER" in err


def test_a_port_that_is_taken_has_an_exit_code_of_its_own(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_USER", "browser")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*LOGIN, "-oauth-callback-port", str(port)]) == 13
    captured = capsys.readouterr()
    assert str(port) in captured.err
    assert f"ssh -L {port}:" in captured.out


def test_listening_beyond_this_machine_is_pointed_out(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_USER", "browser")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        main([*LOGIN, "-oauth-callback-port", port, "-oauth-callback-host", "127.0.0.1"])
    assert "The callback listens on 127.0.0.1; anybody who can reach" in capsys.readouterr().out


def test_the_configured_application_reaches_the_login(place: Path) -> None:
    (place / "config.yaml").write_text(
        "auth-dir: auth\noauth-clients:\n  vendor:\n    client-id: app-1\n    client-secret: hush\n"
    )
    assert main(LOGIN) == 0
    assert saved(place)["client"] == "app-1"


def test_a_broken_configuration_ends_before_anything_is_asked(place: Path, capsys: Capture) -> None:
    (place / "config.yaml").write_text("port: x\n")
    assert main(LOGIN) == 1
    captured = capsys.readouterr()
    assert f"cliproxy: {place / 'config.yaml'}: line 1: port: " in captured.err
    assert captured.out == ""


def test_a_directory_that_cannot_be_made_ends_before_anything_is_asked(place: Path, capsys: Capture) -> None:
    (place / "auth").write_text("a file where a directory should be")
    assert main(LOGIN) == 1
    assert str(place / "auth") in capsys.readouterr().err


def test_logins_are_listed(capsys: Capture) -> None:
    assert main(["login"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(LOGINS) + 1
    assert all(
        ("not available yet" in line) is not login.is_available
        for line, login in zip(lines[1:], LOGINS, strict=True)
    )


def test_a_login_that_is_not_there_yet(capsys: Capture) -> None:
    assert main(["login", "kilo"]) == 1
    assert "-kilo-login is not available in this version" in capsys.readouterr().err
