"""The example file: up to date, loadable, complete; and the file a beginner starts with."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from cliproxy.config.example import example_config, starter_config
from cliproxy.config.keys import is_section, keys_of
from cliproxy.config.load import examine, load_config
from cliproxy.config.model import Config

FILE = Path(__file__).parents[2] / "config.example.yaml"
COMMENTED = re.compile(r"^#(?! \S)", re.MULTILINE)
"""The sign before a setting that is commented out; a remark has one space behind it."""


def _names(kind):
    for name, declared in keys_of(kind).items():
        yield name
        stack = [declared.type]
        while stack:
            inner = stack.pop()
            if is_section(inner):
                yield from _names(inner)
            stack.extend(getattr(inner, "__args__", ()))


def test_the_file_in_the_repository_is_up_to_date():
    """After a change of the key model: ``python -m cliproxy.config.example > config.example.yaml``."""
    assert FILE.read_text(encoding="utf-8") == example_config()


def test_the_module_writes_the_file(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "cliproxy.config.example")
    runpy.run_module("cliproxy.config.example", run_name="__main__")
    assert capsys.readouterr().out == example_config()


def test_the_example_loads_as_the_defaults_without_a_word():
    loaded = load_config(example_config())
    assert loaded.config == Config()
    assert list(loaded.notes()) == []


@pytest.mark.parametrize("name", sorted(set(_names(Config))))
def test_every_key_is_in_the_example(name):
    assert re.search(rf"^[# ]*(- )?{re.escape(name)}:", example_config(), re.MULTILINE)


def test_every_commented_setting_is_right_once_its_sign_is_gone():
    """All but the sample client keys, which are refused whoever uncomments them."""
    loaded = examine(COMMENTED.sub("", example_config()))
    assert [error.path for error in loaded.errors] == ["api-keys[0]", "client-keys[0].key"]
    assert (loaded.warnings, loaded.unknown, loaded.migrations) == ((), (), ())
    assert loaded.config.gitlab_api_key[0].models[0].alias == "client-model"
    assert loaded.config.openai_compatibility[0].name == "openrouter"


def test_the_example_is_plain_ascii_of_readable_width():
    assert example_config().isascii()
    assert max(map(len, example_config().splitlines())) <= 100


def test_what_has_no_effect_yet_says_so():
    assert (
        "# Refuse thoughts without a signature (Antigravity).\n"
        "# Not active yet.\n"
        "#antigravity-signature-bypass-strict: false\n" in example_config()
    )


def test_a_group_with_a_setting_that_works_is_not_said_to_be_without_effect():
    for name, declared in keys_of(Config).items():
        if is_section(declared.type):
            works = any(inner.info.active for inner in keys_of(declared.type).values())
            assert declared.info.active == works, name


@pytest.mark.parametrize("key", ["sk-0123456789abcdef0123", 'odd "key\\ with: signs #1'])
def test_the_starter_file_holds_the_new_key_and_nothing_to_complain_about(key):
    loaded = load_config(starter_config(key))
    assert [secret.reveal() for secret in loaded.config.api_keys] == [key]
    assert list(loaded.notes()) == []


def test_every_suggestion_of_the_starter_file_is_right():
    loaded = load_config(COMMENTED.sub("", starter_config("sk-0123456789abcdef0123")))
    assert list(loaded.notes()) == []
    assert len(loaded.config.gitlab_api_key) == len(loaded.config.claude_api_key) == 1
