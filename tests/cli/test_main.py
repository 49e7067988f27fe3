"""The program as a function: arguments in, exit code out."""

import pytest

from cliproxy import __version__
from cliproxy.cli import COMMAND_MODULES, main
from cliproxy.cli.flags import COMMANDS

Capture = pytest.CaptureFixture[str]


def test_every_command_has_its_module() -> None:
    assert set(COMMAND_MODULES) == set(COMMANDS)


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help(flag: str, capsys: Capture) -> None:
    assert main(["server", flag]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_the_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cliproxy {__version__}\n"


def test_a_mistake_is_explained_on_standard_error(capsys: Capture) -> None:
    assert main(["-nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cliproxy: flag provided but not defined: -nonsense")
    assert "cliproxy --help" in captured.err


def test_the_arguments_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.argv", ["cliproxy", "--version"])
    assert main() == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])])
def test_an_interruption_has_a_code_of_its_own(
    interrupt: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_arguments: object) -> int:
        raise interrupt

    monkeypatch.setattr("cliproxy.cli.check.run", run)
    assert main(["check"]) == 130
