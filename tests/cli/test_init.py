"""``init`` writes a configuration that works and never overwrites one."""

import stat
from pathlib import Path

import pytest

from cliproxy.cli import main
from cliproxy.config.load import load_config


def test_it_writes_a_private_file_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    assert main(["init", "-config", str(path)]) == 0
    loaded = load_config(path.read_text(encoding="utf-8"))
    (key,) = loaded.config.api_keys
    assert len(key.reveal()) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.reveal() not in capsys.readouterr().out


def test_every_key_is_another(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        main(["init", "-config", str(tmp_path / name)])
    keys = [load_config((tmp_path / name).read_text()).config.api_keys for name in ("a.yaml", "b.yaml")]
    assert keys[0] != keys[1]


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("port: 1\n")
    assert main(["init", "-config", str(path)]) == 1
    assert path.read_text() == "port: 1\n"
    assert "-force" in capsys.readouterr().err
    assert main(["init", "-force", "-config", str(path)]) == 0
    assert "api-keys" in path.read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "-config", str(tmp_path / "missing" / "config.yaml")]) == 1
    err = capsys.readouterr().err
    assert "no such file or directory" in err
    assert f"make the directory {tmp_path / 'missing'} first" in err


def test_a_directory_is_no_place_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for force in ((), ("-force",)):
        assert main(["init", *force, "-config", str(tmp_path)]) == 1
        assert f"{tmp_path} is a directory" in capsys.readouterr().err


def test_the_next_steps_name_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["init"])
    assert "then `cliproxy server`." in capsys.readouterr().out
    main(["init", "-config", "my own.yaml"])
    assert "then `cliproxy server -config 'my own.yaml'`." in capsys.readouterr().out
