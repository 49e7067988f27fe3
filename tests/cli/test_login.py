"""The command ``login``, as far as it needs nobody."""

import pytest

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import LOGINS, Arguments
from cliproxy.cli.login import run


def test_without_a_provider_the_logins_are_listed_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Arguments(command="login")) == OK
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "Providers to log in to:"
    assert len(lines) == len(LOGINS)
    column = lines[0].index("GitLab Duo")
    for line, login in zip(lines, LOGINS, strict=True):
        assert line[column - 1 :].startswith(f" {login.help.rstrip('.')}")
        assert line.endswith("(not available yet)") is not login.is_available


def test_a_login_that_is_not_built_yet_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    missing = next(login for login in LOGINS if not login.is_available)
    assert run(Arguments(command="login", login=missing)) == FAILURE
    assert f"-{missing.name} is not available" in capsys.readouterr().err
