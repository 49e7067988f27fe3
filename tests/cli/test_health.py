"""Asking the running server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.service.listen import Binding, open_sockets
from support.server import running


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_server_says_how_it_is(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(elsewhere, "-demo") as server:
        port = server.url.rpartition(":")[2]
        assert main(["health", "-port", port]) == 0
        assert capsys.readouterr().out == "ready\n"
    assert main(["health", "-port", port]) == 1
    assert f"no answer from 127.0.0.1 port {port}: Connection refused; is the" in capsys.readouterr().out


def test_a_server_without_accounts_is_not_ready(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(elsewhere) as server:
        port = server.url.rpartition(":")[2]
        assert main(["health", "-port", port]) == 1
    assert capsys.readouterr().out == "not ready: no_usable_credential, no_model\n"


def test_the_configuration_says_where(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [sock] = open_sockets(Binding(("127.0.0.1",), 0, ""))
    port = sock.getsockname()[1]
    sock.close()
    (elsewhere / "config.yaml").write_text(f"port: {port}\n")
    assert main(["health"]) == 1
    assert f"port {port}" in capsys.readouterr().out


def test_a_configuration_that_is_missing_is_named(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", "-config", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err
