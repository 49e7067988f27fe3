"""Flags and commands, as tables and one parser. Standard library only.

Flags keep the spelling of the reference server: one or two dashes, ``-name value`` or ``-name=value``,
booleans take a value only behind ``=``. They mix freely with commands: ``cliproxy -config x.yaml`` starts the
server, ``cliproxy --gitlab-login`` is ``cliproxy login gitlab``. Nothing is silently ignored: an unknown
flag, a stray word, or a flag that means nothing to the command at hand is a usage error that suggests what
was meant.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["bool", "text", "number"]

SERVER: Final = "server"
LOGIN: Final = "login"
KEYS: Final = "keys"
HEALTH: Final = "health"
USAGE: Final = "usage"
USAGE_BY: Final = ("day", "hour", "client", "model", "provider", "credential")
COMMANDS: Final[Mapping[str, str]] = {
    SERVER: "Start the server (the default).",
    LOGIN: "Log in to a provider: `login gitlab`. Without a provider: list them.",
    "models": "List the models the configured accounts serve.",
    "check": "Validate configuration and credential files and explain them (alias: doctor).",
    "init": "Write a commented config.yaml with a new client key.",
    KEYS: "List the client keys; `keys new NAME` makes one.",
    USAGE: "Show what was used, by day or -by something else; `usage export FILE`, `usage import FILE`.",
    HEALTH: "Ask the running server whether it is ready; for health checks of containers.",
}
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    KEYS: {"list": "", "new": "a name for the key"},
    USAGE: {"show": "", "export": "a file", "import": "a file"},
}
"""What may stand behind a command, and what each of these needs; the first may be left out."""
ALIASES: Final[Mapping[str, str]] = {"doctor": "check", "serve": SERVER}
ASKING: Final = frozenset({"help", "version"})
"""Flags that may be given as words, as people try them first."""
EVERY: Final = frozenset(COMMANDS)
MAX_NUMBER: Final = 65535


class UsageError(Exception):
    """The arguments make no sense; the message says why and what might be meant."""


@dataclass(frozen=True)
class Flag:
    """One flag."""

    name: str
    kind: Kind
    help: str
    commands: frozenset[str] = EVERY
    """Commands it means something to."""
    value: str = ""
    """What to call its value in the help text."""
    provider: str = ""
    """Whose login alone it means something to."""
    is_hidden: bool = False


@dataclass(frozen=True)
class LoginFlag:
    """A flag that is a login. The tables of the providers say the same; a test compares them."""

    name: str
    provider: str
    help: str
    kind: Kind = "bool"
    method: str = ""
    """Name behind ``--method`` when the provider has several; the first is the default."""
    is_available: bool = True


LOGINS: Final = (
    LoginFlag("gitlab-token-login", "gitlab", "GitLab Duo with a personal access token", method="token"),
    LoginFlag("gitlab-login", "gitlab", "GitLab Duo with an OAuth application", method="oauth"),
    LoginFlag("login", "gemini-cli", "Google account (Gemini CLI)."),
    LoginFlag("codex-login", "codex", "OpenAI Codex, through the browser.", method="browser"),
    LoginFlag("codex-device-login", "codex", "OpenAI Codex, with a device code.", method="device"),
    LoginFlag("claude-login", "claude", "Claude account."),
    LoginFlag("qwen-login", "qwen", "Qwen account."),
    LoginFlag("iflow-login", "iflow", "iFlow account.", method="oauth"),
    LoginFlag("iflow-cookie", "iflow", "iFlow, with a browser cookie.", method="cookie"),
    LoginFlag("antigravity-login", "antigravity", "Antigravity account."),
    LoginFlag("kimi-login", "kimi", "Kimi account."),
    LoginFlag("github-copilot-login", "github-copilot", "GitHub Copilot account."),
    LoginFlag("xai-login", "xai", "xAI account."),
    LoginFlag("vertex-import", "vertex", "Vertex AI, from a service account file.", kind="text"),
    LoginFlag("kilo-login", "kilo", "Kilo account.", is_available=False),
    LoginFlag("kiro-login", "kiro", "Kiro account.", is_available=False),
)

VENDORS: Final[Mapping[str, str]] = {
    "anthropic": "claude",
    "chatgpt": "codex",
    "openai": "codex",
    "google": "gemini-cli",
    "copilot": "github-copilot",
    "grok": "xai",
}
"""What people call some providers, for suggestions."""

_ONLY_LOGIN: Final = frozenset({LOGIN})
_ONLY_SERVER: Final = frozenset({SERVER})
_ONLY_KEYS: Final = frozenset({KEYS})
_ONLY_USAGE: Final = frozenset({USAGE})

KEY_SETTINGS: Final = (
    Flag("models", "text", "Models the new key may use, with commas; * for anything.", _ONLY_KEYS, "NAMES"),
    Flag("providers", "text", "Providers the new key may use, with commas.", _ONLY_KEYS, "NAMES"),
    Flag("requests-per-minute", "text", "Limits of the new key; default: none.", _ONLY_KEYS, "NUMBER"),
    Flag("tokens-per-minute", "text", "", _ONLY_KEYS, "NUMBER"),
    Flag("tokens-per-day", "text", "", _ONLY_KEYS, "NUMBER"),
    Flag("tokens-per-month", "text", "", _ONLY_KEYS, "NUMBER"),
    Flag("money-per-day", "text", "", _ONLY_KEYS, "DOLLARS"),
    Flag("money-per-month", "text", "", _ONLY_KEYS, "DOLLARS"),
    Flag("concurrent", "text", "", _ONLY_KEYS, "NUMBER"),
    Flag("expires", "text", "Last day of the new key (UTC), such as 2030-12-31.", _ONLY_KEYS, "DATE"),
    Flag("note", "text", "A note about the new key.", _ONLY_KEYS, "TEXT"),
)
"""Flags with the names of a client key's settings."""
_PLACED: Final = frozenset({SERVER, HEALTH})

FLAGS: Final = (
    Flag("config", "text", "Configuration file; default: config.yaml in this directory.", value="FILE"),
    Flag(
        "demo",
        "bool",
        "Serve the built-in demo model, which needs no account.",
        frozenset({SERVER, "models"}),
    ),
    Flag("host", "text", "Address to listen on, in place of the configuration's.", _PLACED, "ADDRESS"),
    Flag("port", "number", "Port to listen on, in place of the configuration's.", _PLACED, "PORT"),
    Flag("debug", "bool", "Log decisions as well.", EVERY),
    Flag("gitlab-url", "text", "GitLab instance; default: https://gitlab.com.", _ONLY_LOGIN, "URL", "gitlab"),
    Flag("method", "text", "Which login of a provider that has several.", _ONLY_LOGIN, "NAME"),
    Flag(
        "project_id",
        "text",
        "Google Cloud project, several with commas, or ALL (Gemini CLI).",
        _ONLY_LOGIN,
        "PROJECT",
        "gemini-cli",
    ),
    Flag(
        "location",
        "text",
        "Region to use Vertex AI in, or global; default: us-central1.",
        _ONLY_LOGIN,
        "REGION",
        "vertex",
    ),
    Flag("email", "text", "Name for an account whose vendor does not say whose it is.", _ONLY_LOGIN, "NAME"),
    Flag("import", "bool", "Take over the login of the vendor's own program.", _ONLY_LOGIN),
    Flag("no-browser", "bool", "Print the address to open instead of opening it.", _ONLY_LOGIN),
    Flag("oauth-callback-port", "number", "Port for the browser's way back.", _ONLY_LOGIN, "PORT"),
    Flag(
        "oauth-callback-host",
        "text",
        "Address for the browser's way back, for containers.",
        _ONLY_LOGIN,
        "ADDRESS",
    ),
    Flag("incognito", "bool", "Open a private browser window.", _ONLY_LOGIN),
    Flag("no-incognito", "bool", "Open an ordinary browser window.", _ONLY_LOGIN),
    Flag("force", "bool", "Overwrite an existing file.", frozenset({"init"})),
    *KEY_SETTINGS,
    Flag("days", "number", "Days of usage to show; 0: all; default: 30.", _ONLY_USAGE, "NUMBER"),
    Flag("by", "text", f"Divide usage by {', '.join(USAGE_BY)}.", _ONLY_USAGE, "WHAT"),
    Flag("json", "bool", "Print usage as JSON.", _ONLY_USAGE),
    Flag("save", "bool", "Write the new key's entry into the configuration.", _ONLY_KEYS),
    Flag(
        "local-model", "bool", "Use the bundled model facts, whatever model-catalog-url says.", _ONLY_SERVER
    ),
    Flag(
        "password", "text", "Local management password; not active yet.", _ONLY_SERVER, "TEXT", is_hidden=True
    ),
    Flag("version", "bool", "Print the version."),
    Flag("help", "bool", "Print this help."),
    Flag("h", "bool", "Print this help.", is_hidden=True),
)

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True)
class Arguments:
    """The command line, understood."""

    command: str = SERVER
    login: LoginFlag | None = None
    """The login to run; ``None`` with the command ``login`` means: list them."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Text and number flags that were given, by name."""
    switches: frozenset[str] = frozenset()
    """Boolean flags that are on."""
    words: tuple[str, ...] = ()
    """What stands behind a command of :data:`WORDS`."""

    @property
    def wants_help(self) -> bool:
        """Whether help was asked for."""
        return bool(self.switches & {"help", "h"})

    @property
    def wants_version(self) -> bool:
        """Whether the version was asked for."""
        return "version" in self.switches

    def number(self, name: str) -> int | None:
        """Return a number flag's value."""
        text = self.values.get(name)
        return None if text is None else int(text, 0)


def parse(arguments: Sequence[str]) -> Arguments:
    """Understand the arguments. Raises :class:`UsageError`."""
    known = {flag.name: flag.kind for flag in (*FLAGS, *LOGINS)}
    words: list[str] = []
    given: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            words.extend(rest)
        elif argument.startswith("-") and argument != "-":
            name, text = _flag(argument, known, rest)
            given[name] = text
        else:
            words.append(argument)
    switches = frozenset(name for name, text in given.items() if known[name] == "bool" and text in _TRUE)
    values = {name: text for name, text in given.items() if known[name] != "bool"}
    switches |= ASKING.intersection(words[:1])
    if switches & {"help", "h", "version"}:
        return Arguments(switches=switches)
    command, login = _command(words, switches, values)
    _refuse_misplaced(command, given)
    if login is not None:
        _refuse_foreign(login, given)
    if values.get("by", USAGE_BY[0]) not in USAGE_BY:
        raise UsageError(f"-by {values['by']}: usage can be divided by {', '.join(USAGE_BY)}")
    behind = _words_behind(command, words[1:]) if command in WORDS else ()
    return Arguments(command, login, values, switches, behind)


def _flag(argument: str, known: Mapping[str, Kind], rest: Iterator[str]) -> tuple[str, str]:
    """Read one flag and, where it takes one, its value."""
    body = argument.removeprefix("-").removeprefix("-")
    name, equals, text = body.partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {argument}")
    kind = known.get(name)
    if kind is None:
        raise UsageError(f"flag provided but not defined: -{name}{_suggestion(name, known, '-')}")
    if kind == "bool":
        return name, _boolean(name, text) if equals else "true"
    if not equals:
        text = next(rest, "")
        if not text:
            raise UsageError(f"flag needs an argument: -{name}")
    if kind == "number":
        _check_number(name, text)
    return name, text


def _boolean(name: str, text: str) -> str:
    if text in _TRUE or text in _FALSE:
        return text
    raise UsageError(f'invalid boolean value "{text}" for -{name}: use true or false')


def _check_number(name: str, text: str) -> None:
    try:
        number = int(text, 0)
    except ValueError:
        raise UsageError(f'invalid value "{text}" for flag -{name}: not a whole number') from None
    if not 0 <= number <= MAX_NUMBER:
        raise UsageError(f'invalid value "{text}" for flag -{name}: must be between 0 and {MAX_NUMBER}')


def _command(
    words: Sequence[str], switches: frozenset[str], values: Mapping[str, str]
) -> tuple[str, LoginFlag | None]:
    """Say which command runs, from the words and from login flags."""
    flagged = [login for login in LOGINS if login.name in switches or login.name in values]
    if len(flagged) > 1:
        raise UsageError("one login at a time: " + ", ".join(f"-{login.name}" for login in flagged))
    if flagged and values.get("method", flagged[0].method) != flagged[0].method:
        raise UsageError(f"-{flagged[0].name} is one method already; leave out -method {values['method']}")
    if not words:
        return (LOGIN, flagged[0]) if flagged else (SERVER, None)
    command = ALIASES.get(words[0], words[0])
    if command not in COMMANDS:
        raise UsageError(f"unknown command: {words[0]}{_suggestion(words[0], {**COMMANDS, **ALIASES}, '')}")
    if command == LOGIN:
        return LOGIN, _named_login(words[1:], flagged, values)
    if len(words) > 1 and command not in WORDS:
        raise UsageError(f"unexpected argument: {words[1]}")
    if flagged:
        raise UsageError(
            f"-{flagged[0].name} is a command of its own and cannot be combined with `{command}`"
        )
    return command, None


def _named_login(
    words: Sequence[str], flagged: Sequence[LoginFlag], values: Mapping[str, str]
) -> LoginFlag | None:
    if len(words) > 1:
        raise UsageError(f"unexpected argument: {words[1]}")
    if flagged:
        if words and words[0] != flagged[0].provider:
            raise UsageError(f"-{flagged[0].name} is a login of {flagged[0].provider}, not of {words[0]}")
        return flagged[0]
    if not words:
        if "method" in values:
            raise UsageError("-method needs a provider, as in `login gitlab -method oauth`")
        return None
    offered = [login for login in LOGINS if login.provider == words[0]]
    if not offered:
        providers = {login.provider: "" for login in LOGINS}
        meant = VENDORS.get(words[0].lower())
        hint = f"; did you mean {meant}?" if meant else _suggestion(words[0], providers, "")
        raise UsageError(f"unknown provider: {words[0]}{hint or '; `cliproxy login` lists them'}")
    method = values.get("method")
    if method is None:
        return offered[0]
    chosen = next((login for login in offered if login.method == method), None)
    if chosen is None:
        methods = ", ".join(login.method for login in offered if login.method) or "none to choose from"
        raise UsageError(f"{words[0]} has no login method `{method}`; it has: {methods}")
    return chosen


def _words_behind(command: str, words: Sequence[str]) -> tuple[str, ...]:
    """Understand what stands behind a command: one of its verbs, and what that needs."""
    known = WORDS[command]
    verb, *rest = words or [*known][:1]
    if verb not in known:
        raise UsageError(f"unknown word behind `{command}`: {verb}{_suggestion(verb, known, '')}")
    wanted = 1 if known[verb] else 0
    if len(rest) > wanted:
        raise UsageError(f"unexpected argument: {rest[wanted]}")
    if len(rest) < wanted:
        raise UsageError(f"`{command} {verb}` needs {known[verb]}")
    return (verb, *rest)


def _refuse_misplaced(command: str, given: Mapping[str, str]) -> None:
    for flag in FLAGS:
        if flag.name in given and command not in flag.commands:
            where = ", ".join(f"`{name}`" for name in COMMANDS if name in flag.commands)
            raise UsageError(f"-{flag.name} means nothing to `{command}`; it belongs to {where}")


def _refuse_foreign(login: LoginFlag, given: Mapping[str, str]) -> None:
    for flag in FLAGS:
        if flag.name in given and flag.provider not in {"", login.provider}:
            here, there = f"login {login.provider}", f"login {flag.provider}"
            raise UsageError(f"-{flag.name} means nothing to `{here}`; it belongs to `{there}`")


def _suggestion(name: str, known: Mapping[str, object], dash: str) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {dash}{close[0]}?" if close else ""
