"""The command line: Go-style flags, commands, and no silent ignoring."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.cli.flags import COMMANDS, FLAGS, KEY_SETTINGS, LOGINS, VENDORS, Arguments, UsageError, parse
from cliproxy.config.entries import ClientKey
from cliproxy.config.keys import keys_of
from cliproxy.providers import PROVIDERS


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", "server"),
        ("server", "server"),
        ("-config x.yaml", "server"),
        ("--config=x.yaml server", "server"),
        ("server -config x.yaml", "server"),
        ("-demo", "server"),
        ("check", "check"),
        ("doctor", "check"),
        ("models -demo", "models"),
        ("init -force", "init"),
        ("keys", "keys"),
        ("keys new alice -save", "keys"),
        ("login", "login"),
        ("--gitlab-login", "login"),
        ("-no-browser -gitlab-login", "login"),
    ],
)
def test_commands(line: str, command: str) -> None:
    assert parse(line.split()).command == command


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("-gitlab-login", "gitlab-login"),
        ("--gitlab-token-login", "gitlab-token-login"),
        ("login gitlab", "gitlab-token-login"),
        ("login gitlab -method oauth", "gitlab-login"),
        ("login gitlab -gitlab-token-login", "gitlab-token-login"),
        ("-vertex-import key.json", "vertex-import"),
        ("-login", "login"),
    ],
)
def test_logins(line: str, flag: str) -> None:
    login = parse(line.split()).login
    assert login is not None
    assert login.name == flag


@pytest.mark.parametrize("form", ["-config x", "--config x", "-config=x", "--config=x"])
def test_every_form_of_a_value(form: str) -> None:
    assert parse(form.split()).values == {"config": "x"}


def test_the_last_of_a_repeated_flag_counts() -> None:
    arguments = parse(["-port", "1", "-port=0x10", "-debug", "-debug=false"])
    assert arguments.number("port") == 16
    assert "debug" not in arguments.switches


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-nonsense", "flag provided but not defined: -nonsense"),
        ("-gitlab-logn", "did you mean -gitlab-login?"),
        ("serer", "did you mean server?"),
        ("login gitlba", "did you mean gitlab?"),
        ("login gitlab -method magic", "it has: token, oauth"),
        ("-config", "flag needs an argument: -config"),
        ("-port abc", "not a whole number"),
        ("-port 70000", "between 0 and 65535"),
        ("-debug=maybe", "invalid boolean value"),
        ("---config x", "bad flag syntax"),
        ("-=x", "bad flag syntax"),
        ("check extra", "unexpected argument: extra"),
        ("login gitlab extra", "unexpected argument: extra"),
        ("-gitlab-login -codex-login", "one login at a time"),
        ("server -gitlab-login", "cannot be combined"),
        ("login codex -gitlab-login", "not of codex"),
        ("check -no-browser", "belongs to `login`"),
        ("server -gitlab-url x", "belongs to `login`"),
        ("-login true", "unknown command: true"),
        ("login nobody", "unknown provider: nobody; `cliproxy login` lists them"),
        ("login OpenAI", "did you mean codex?"),
        ("login codex -gitlab-url x", "means nothing to `login codex`; it belongs to `login gitlab`"),
        ("-claude-login -project_id x", "it belongs to `login gemini-cli`"),
        ("login gitlab -location x", "it belongs to `login vertex`"),
        ("login -method oauth", "-method needs a provider"),
        ("-gitlab-login -method token", "leave out -method token"),
    ],
)
def test_mistakes_are_named(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "line", ["-h", "-help", "--help", "server -help", "nonsense -h", "help", "help login"]
)
def test_help_is_given_whatever_else_is_said(line: str) -> None:
    assert parse(line.split()).wants_help


def test_vendors_are_taken_for_providers_that_exist() -> None:
    providers = {login.provider for login in LOGINS}
    assert set(VENDORS.values()) <= providers
    assert not providers & set(VENDORS)


def test_the_version_may_be_asked_for_with_a_word() -> None:
    assert parse(["version"]).wants_version
    assert not parse(["keys", "new", "help"]).wants_help


def test_after_two_dashes_everything_is_a_word() -> None:
    with pytest.raises(UsageError, match="unknown command: -demo"):
        parse(["--", "-demo"])


@given(
    st.lists(
        st.sampled_from(["-config", "x", "-demo", "server", "login", "gitlab", "-port=1", "--", "-h", "-"])
    )
)
def test_any_line_is_understood_or_refused(line: list[str]) -> None:
    try:
        arguments = parse(line)
    except UsageError:
        return
    assert isinstance(arguments, Arguments)
    assert arguments.command in COMMANDS


def test_the_logins_are_those_of_the_providers() -> None:
    """The table of the command line repeats the providers' records, so that help needs no import."""
    declared = {login.flag: (p.key, login.summary) for p in PROVIDERS for login in p.logins}
    listed = {flag.name: (flag.provider, flag.help) for flag in LOGINS if flag.is_available}
    assert listed == declared


def test_no_name_is_used_twice() -> None:
    names = [flag.name for flag in (*FLAGS, *LOGINS)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keys", ("list",)),
        ("keys list", ("list",)),
        ("keys new alice", ("new", "alice")),
        ("-note x keys new -save alice", ("new", "alice")),
        ("models", ()),
        ("usage", ("show",)),
        ("usage -by hour -days 0", ("show",)),
        ("usage export x.json", ("export", "x.json")),
        ("usage import x.json", ("import", "x.json")),
    ],
)
def test_words_behind_commands(line: str, words: tuple[str, ...]) -> None:
    assert parse(line.split()).words == words


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("keys nwe", "did you mean new"),
        ("keys new", "needs a name"),
        ("keys new a b", "unexpected argument: b"),
        ("keys list a", "unexpected argument: a"),
        ("models -save", "belongs to `keys`"),
        ("keys -gitlab-login", "command of its own"),
        ("usage exprot x", "did you mean export"),
        ("usage import", "needs a file"),
        ("usage show x", "unexpected argument: x"),
        ("usage -by wether", "-by wether: usage can be divided by day, hour, client"),
        ("keys -days 3", "belongs to `usage`"),
    ],
)
def test_what_makes_no_sense_behind_commands(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(line.split())


def test_a_new_key_can_have_every_setting_by_a_flag() -> None:
    settings = keys_of(ClientKey).keys() - {"name", "key", "hash", "disabled"}
    assert {flag.name for flag in KEY_SETTINGS} == settings
