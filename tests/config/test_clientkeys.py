"""Client keys with limits: what an entry may say, and that nothing it says wrongly is passed over."""

from hashlib import sha256

import pytest

from cliproxy.config.clientkeys import entry_hash, hash_of
from cliproxy.config.load import examine
from cliproxy.wire.secret import Secret

KEY = "a-client-key-that-is-long"
HASH = "sha256:" + sha256(KEY.encode()).hexdigest()
OTHER = "another-client-key-as-long"


def entries(*texts: str, before: str = ""):
    """Return the entries as they are used, and what was found, by path."""
    loaded = examine(f"{before}client-keys:\n" + "".join(f"  - {{{text}}}\n" for text in texts))
    assert loaded.unknown == ()
    errors = {error.path: error for error in loaded.errors}
    return loaded.config.client_keys, errors, {warning.path: warning for warning in loaded.warnings}


def test_an_entry_with_everything():
    [entry], errors, warnings = entries(
        f"name: ' Alice ', key: ' {KEY} ', models: [' GPT-* ', 'gpt-*'], providers: [Claude], "
        "requests-per-minute: 60, tokens-per-minute: 100000, tokens-per-day: 2000000, "
        "tokens-per-month: 30000000, money-per-day: 2.5, money-per-month: 40, concurrent: 4, "
        "expires: 2030-12-31, disabled: true, note: her laptop"
    )
    assert (errors, warnings) == ({}, {})
    assert (entry.name, entry.key, entry.models, entry.providers) == (
        "Alice",
        Secret(KEY),
        ("gpt-*",),
        ("claude",),
    )
    assert (entry.requests_per_minute, entry.tokens_per_minute, entry.concurrent) == (60, 100_000, 4)
    assert (entry.tokens_per_day, entry.tokens_per_month) == (2_000_000, 30_000_000)
    assert (entry.money_per_day, entry.money_per_month) == (2.5, 40.0)
    assert (entry.expires, entry.disabled, entry.note) == ("2030-12-31", True, "her laptop")


def test_a_key_and_its_hash_are_the_same_key():
    [plain, *_], _, _ = entries(f"name: a, key: {KEY}")
    [hashed, *_], errors, _ = entries(f"name: a, hash: '{HASH.upper().replace('SHA', 'sha')}'")
    assert errors == {}
    assert entry_hash(plain) == entry_hash(hashed) == hash_of(KEY) == HASH


def test_what_is_left_out_is_no_limit():
    [entry], errors, warnings = entries(f"name: a, hash: '{HASH}'")
    assert (errors, warnings) == ({}, {})
    assert (entry.requests_per_minute, entry.money_per_day, entry.models, entry.expires) == (
        None,
        None,
        (),
        "",
    )


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (f"hash: '{HASH}'", ".name", "is missing"),
        (f"name: ' ', hash: '{HASH}'", ".name", "is missing"),
        (f"name: {'x' * 65}, hash: '{HASH}'", ".name", "at most 64"),
        (f"name: \"a\\nb\", hash: '{HASH}'", ".name", "one line"),
        ("name: a", "", "neither a key nor its hash"),
        ("name: a, key: ' '", "", "neither a key nor its hash"),
        (f"name: a, key: {KEY}, hash: '{HASH}'", "", "both"),
        ("name: a, hash: abc", ".hash", "64 hexadecimal digits"),
        (f"name: a, hash: '{HASH.removeprefix('sha256:')}'", ".hash", "64 hexadecimal digits"),
        ("name: a, key: Your-API-Key-2", ".key", "sample"),
        (f"name: a, hash: '{hash_of('your-api-key-2')}'", ".hash", "sample"),
        (f"name: a, hash: '{HASH}', models: ['']", ".models[0]", "is empty"),
        (f"name: a, hash: '{HASH}', models: [ok, 'a b']", ".models[1]", "white space"),
        (f"name: a, hash: '{HASH}', models: ['claude://x']", ".models[0]", "two lists"),
        (f"name: a, hash: '{HASH}', providers: [' ']", ".providers[0]", "is empty"),
        (f"name: a, hash: '{HASH}', expires: soon", ".expires", "2030-12-31"),
        (f"name: a, hash: '{HASH}', expires: '2030-12-31T18:00:00'", ".expires", "zone"),
        (f"name: a, hash: '{HASH}', expires: 2030-02-30", ".expires", "2030-12-31"),
        (f"name: a, hash: '{HASH}', requests-per-minute: 0", ".requests-per-minute", "at least 1"),
        (f"name: a, hash: '{HASH}', tokens-per-day: 0.5", ".tokens-per-day", "at least 1"),
        (f"name: a, hash: '{HASH}', tokens-per-month: lots", ".tokens-per-month", "must be a number"),
        (f"name: a, hash: '{HASH}', money-per-day: -1", ".money-per-day", "at least 0"),
        (f"name: a, hash: '{HASH}', concurrent: 0", ".concurrent", "at least 1"),
        (f"name: a, hash: '{HASH}', disabled: perhaps", ".disabled", "true or false"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text, path, said):
    _, errors, _ = entries(f"name: other, key: {OTHER}", text)
    [error] = errors.values()
    assert (error.path, error.line) == (f"client-keys[1]{path}", 3)
    assert said in error.message
    assert KEY not in str(error)
    assert HASH not in str(error)


@pytest.mark.parametrize(
    ("texts", "path", "said"),
    [
        ((f"name: A, key: {KEY}", f"name: a, key: {OTHER}"), "client-keys[1].name", "earlier"),
        ((f"name: a, key: {KEY}", f"name: b, hash: '{HASH}'"), "client-keys[1]", "earlier entry"),
    ],
)
def test_names_and_keys_are_given_once(texts, path, said):
    _, errors, _ = entries(*texts)
    [error] = errors.values()
    assert error.path == path
    assert said in error.message


def test_a_key_without_limits_elsewhere_is_refused():
    """It would be one or the other by accident."""
    _, errors, _ = entries(f"name: a, hash: '{HASH}'", before=f"api-keys: [{KEY}]\n")
    [error] = errors.values()
    assert (error.path, error.line) == ("client-keys[0]", 3)
    assert "`api-keys` as well" in error.message


def test_a_short_key_is_warned_about_and_not_shown():
    _, errors, warnings = entries("name: a, key: hunter2")
    assert errors == {}
    assert "hunter2" not in str(warnings["client-keys[0].key"])


def test_an_empty_entry_is_no_open_door():
    loaded = examine("client-keys: [null]\n")
    assert {error.path for error in loaded.errors} == {"client-keys[0].name", "client-keys[0]"}


def test_keys_and_hashes_stay_out_of_the_representation():
    [plain, hashed], _, _ = entries(f"name: a, key: {OTHER}", f"name: b, hash: '{HASH}'")
    assert OTHER not in repr(plain)
    assert HASH not in repr(hashed)
