"""What commands take from their surroundings."""

import logging
from pathlib import Path

import pytest
import trio

from cliproxy.cli.flags import parse
from cliproxy.cli.world import config_of, log_quietly, source_of, state_of
from cliproxy.errors import ConfigError


def test_the_configuration_is_the_one_of_the_flag_or_of_this_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = source_of(parse([]))
    assert (default.path, default.explicit) == (tmp_path / "config.yaml", False)
    asked = source_of(parse(["-config", "sub/x.yaml"]))
    assert (asked.path, asked.explicit) == (tmp_path / "sub" / "x.yaml", True)


def test_the_environment_is_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITSTORE_GIT_URL", "https://git.example/x")
    monkeypatch.setenv("GITSTORE_LOCAL_PATH", str(tmp_path))
    assert source_of(parse([])).path == tmp_path / "gitstore" / "config" / "config.yaml"


def test_a_broken_configuration_can_be_looked_at_but_not_used(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("port: -1\n")
    arguments = parse(["-config", str(tmp_path / "c.yaml")])
    assert trio.run(config_of, arguments).loaded.errors
    with pytest.raises(ConfigError):
        trio.run(state_of, arguments)


def test_the_home_directory_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert trio.run(config_of, parse([])).store.auth_dir == tmp_path / "me" / ".cli-proxy-api"


@pytest.mark.parametrize(("line", "warned"), [("check", False), ("check -debug", True)])
def test_the_log_is_for_errors_unless_asked_for_more(
    line: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    log_quietly(parse(line.split()))
    logging.getLogger("cliproxy.x").warning("a warning")
    logging.getLogger("cliproxy.x").error("an error")
    logging.getLogger("other").warning("of a library")
    err = capsys.readouterr().err
    assert ("a warning" in err) is warned
    assert "an error" in err
    assert "of a library" not in err
