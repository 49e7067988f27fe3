"""Help and version texts, made from the tables of :mod:`cliproxy.cli.flags`. Standard library only."""

from collections.abc import Iterator

from cliproxy import __version__
from cliproxy.cli.flags import COMMANDS, FLAGS, LOGINS, Flag, LoginFlag

_INTRO = """\
cliproxy {version}: one local server that speaks the OpenAI, Claude and Gemini APIs and answers them
from the accounts you already have: GitLab Duo, API keys, OpenAI-compatible providers.

Usage:
  cliproxy [command] [flags]        flags take one dash or two: -config x.yaml, --config=x.yaml

Commands:"""
_OUTRO = """\

Try it without any account:
  cliproxy server -demo
Log in to GitLab Duo:
  cliproxy --gitlab-login           or, with a personal access token: cliproxy --gitlab-token-login"""

COLUMN = 34


def version_text() -> str:
    """Return the version line."""
    return f"cliproxy {__version__}"


def help_text() -> str:
    """Return the whole help text."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRO.format(version=__version__)
    for name, summary in COMMANDS.items():
        yield _row(name, summary)
    yield "\nLogins (each is also `login <provider>`):"
    for login in LOGINS:
        yield _row(
            _login_head(login), login.help if login.is_available else f"{login.help} Not available yet."
        )
    yield "\nFlags:"
    for flag in FLAGS:
        if not flag.is_hidden:
            yield _row(_flag_head(flag), flag.help)
    yield _OUTRO


def _login_head(login: LoginFlag) -> str:
    return f"-{login.name} FILE" if login.kind == "text" else f"-{login.name}"


def _flag_head(flag: Flag) -> str:
    return f"-{flag.name} {flag.value}".rstrip()


def _row(head: str, text: str) -> str:
    return f"  {head:<{COLUMN}}{text}"
