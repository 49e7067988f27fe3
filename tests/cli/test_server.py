"""``server``: what keeps it from starting, what it says when it starts, and how it is stopped."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.cli.flags import parse
from cliproxy.cli.server import greeting, with_flags
from cliproxy.config.model import Config
from cliproxy.providers.demo import demo_credential
from cliproxy.service.listen import Binding
from cliproxy.wire.secret import Secret
from support.routes import credential
from support.server import Server, running

Capture = pytest.CaptureFixture[str]
HERE = Binding(("127.0.0.1",), 8317, "this machine only")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what keeps it from starting ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("port: 99999\n", [], "line 2: port: "),
        ("port: [1\n", [], "line 3: "),
        ("api-keys:\n  - your-api-key-1\n", [], "line 3: api-keys[0]: is a sample"),
        ("host: 0.0.0.0\n", [], "line 2: host: `0.0.0.0` is reachable from other machines"),
        (
            "",
            ["-host", "192.0.2.1"],
            "host: `192.0.2.1` is reachable from other machines",
        ),
        ("host: 127.0.0.1\n", ["-host", "0.0.0.0"], "host: `0.0.0.0` is reachable"),
        ("tls:\n  enable: true\n", [], "tls.cert: is needed"),
        (
            "tls:\n  enable: true\n  cert: gone.pem\n  key: gone.key\n",
            [],
            "line 4: tls.cert: gone.pem cannot be read: No such file",
        ),
        ("", ["-host", "no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_a_start_that_is_refused_says_where_and_why(
    place: Path, text: str, arguments: list[str], said: str, capsys: Capture
) -> None:
    (place / "config.yaml").write_text(f"auth-dir: auth\n{text}")
    if "no.such.host.invalid" in arguments:
        (place / "config.yaml").write_text("auth-dir: auth\napi-keys: [sk-0123456789abcdef]\n")
    assert main(["server", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    blamed = "command line" if arguments else place / "config.yaml"
    assert captured.err.startswith(f"cliproxy: {blamed}: ")
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_a_missing_file_that_was_asked_for(place: Path, capsys: Capture) -> None:
    assert main(["-config", "gone.yaml"]) == 1
    assert f"cliproxy: {place / 'gone.yaml'}: there is no such file" in capsys.readouterr().err


def test_a_port_that_is_taken(place: Path, capsys: Capture) -> None:
    (place / "config.yaml").write_text("auth-dir: auth\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["server", "-demo", "-host", "127.0.0.1", "-port", str(port)]) == 1
    err = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; another program" in err
    assert err.startswith("cliproxy: command line: ")
    assert "Errno" not in err


def test_a_flag_without_an_effect_is_named(place: Path) -> None:
    with running(place, "-password", "hunter2") as server:
        log = server.log()
    assert "-password has no effect" in log
    assert "hunter2" not in log


# --- what it says ---------------------------------------------------------------------------------


def test_flags_win_over_the_file() -> None:
    config = Config(host="a", port=1)
    assert with_flags(config, parse([])) == config
    changed = with_flags(config, parse(["-host", "b", "-port", "0"]))
    assert (changed.host, changed.port) == ("b", 0)
    assert with_flags(config, parse(["-debug"])).debug


def test_the_first_lines_say_where_and_why() -> None:
    urls = ["http://127.0.0.1:8317", "http://[::1]:8317"]
    lines = list(greeting(urls, HERE, [credential("a", "gitlab"), credential("b", "gitlab")], Config()))
    assert lines[0].startswith("cliproxy ")
    assert lines[1] == (
        "API server started successfully on: http://127.0.0.1:8317, http://[::1]:8317 (this machine only)"
    )
    assert lines[2:] == ["Accounts: gitlab (2)"]


def test_a_server_without_accounts_says_what_to_do() -> None:
    off = credential("a", disabled=True)
    text = "\n".join(greeting(["http://x"], HERE, [off], Config()))
    assert "No accounts yet. Log in with `cliproxy login gitlab`" in text
    assert "cliproxy server -demo" in text


def test_the_demo_says_what_it_is_and_how_to_try_it() -> None:
    keys = Config(api_keys=(Secret("sk-0123456789abcdef"),))
    text = "\n".join(greeting(["http://x:1"], HERE, [demo_credential()], keys))
    assert "NOT a real model" in text
    assert "curl -N http://x:1/v1/chat/completions -H 'Authorization: Bearer <a client key>'" in text
    assert "sk-0123456789abcdef" not in text
    open_server = "\n".join(greeting(["http://x:1"], HERE, [demo_credential()], Config()))
    assert "Authorization" not in open_server


# --- the process ----------------------------------------------------------------------------------

SLOW = b'{"model":"demo","stream":true,"messages":[{"role":"user","content":"please be slow"}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(SLOW)
) + SLOW


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Server]:
    """A server in the middle of a slow answer, whose files have all kinds of small faults."""
    auth = tmp_path / "auth"
    auth.mkdir(mode=0o700)
    (auth / "broken.json").write_text('{"type": "gitlab", "access_token": "glpat-canary-0123456789abcdef"')
    with running(tmp_path, "-demo", config="prot: 1\n") as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(REQUEST)
            assert b"200" in client.recv(65536)
            yield server


def test_a_second_signal_stops_a_busy_server_at_once(busy: Server) -> None:
    """Its log has told what is odd about the files, and no secret of theirs."""
    busy.process.terminate()
    while "stopping on SIGTERM" not in busy.log():
        assert busy.process.poll() is None
    assert busy.stop() == 130
    log = busy.log()
    assert "Traceback" not in log
    assert "line 3: prot" in log
    assert "credential not used: broken.json: is not a JSON object" in log
    assert "canary" not in log
