"""The configuration as plain data."""

from cliproxy.config.data import as_data
from cliproxy.config.entries import KeyEntry, ModelName
from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.wire.secret import Secret

LONG = Secret("sk-0123456789abcdef")


def test_every_key_is_there_under_its_own_name():
    assert list(as_data(Config(), Secret.reveal)) == list(keys_of(Config))


def test_nested_values_become_plain_data():
    entry = KeyEntry(
        place="x", api_key=LONG, headers={"X-A": "1"}, models=(ModelName(name="a", thinking={"max": 1}),)
    )
    data = as_data(Config(claude_api_key=(entry,)), Secret.reveal)
    [written] = data["claude-api-key"]
    assert written["api-key"] == LONG.reveal()
    assert written["headers"] == {"X-A": "1"}
    assert written["models"][0]["thinking"] == {"max": 1}
    assert "place" not in written


def test_the_caller_decides_what_becomes_of_secrets():
    shown = as_data(Config(api_keys=(LONG,), proxy_url=Secret("http://u:p@h")), Secret.hint)
    assert shown["api-keys"] == ["***cdef"]
    assert shown["proxy-url"] == "***"
