"""The normal form of a configuration: what is repaired, what is dropped, what is refused."""

import pytest

from cliproxy.config.load import examine
from cliproxy.wire.secret import Secret


def cleaned(text):
    """Return configuration, warnings and errors; the steps before cleaning find nothing in these texts."""
    loaded = examine(text)
    assert loaded.unknown == ()
    return loaded.config, loaded.warnings, loaded.errors


def reveal(entries):
    return [entry.api_key.reveal() for entry in entries]


GOOD_KEY = "a-client-key-that-is-long"


def test_client_keys_are_trimmed_unique_and_not_empty():
    config, warnings, _ = cleaned(f"api-keys: [' {GOOD_KEY} ', '', {GOOD_KEY}]\n")
    assert config.api_keys == (Secret(GOOD_KEY),)
    assert warnings == ()


@pytest.mark.parametrize("sample", ["your-api-key-1", "your-api-key-3", "your-api-key", "Your-API-Key-2"])
def test_sample_keys_are_refused_with_their_line(sample):
    _, _, errors = cleaned(f"api-keys:\n  - {GOOD_KEY}\n  - {sample}\n")
    [error] = errors
    assert (error.path, error.line, error.fatal) == ("api-keys[1]", 3, True)
    assert "sample" in error.message


def test_short_client_keys_are_warned_about_and_not_shown():
    _, warnings, errors = cleaned("api-keys: [hunter2, hunter2]\n")
    [warning] = warnings
    assert errors == ()
    assert "hunter2" not in str(warning)


@pytest.mark.parametrize(("host", "address"), [("[::1]", "::1"), ("0.0.0.0", "0.0.0.0"), ("''", "")])
def test_host(host, address):
    assert cleaned(f'host: "{host.strip(chr(39))}"\n')[0].host == address


@pytest.mark.parametrize("host", ["http://x", "a/b", "a b"])
def test_a_host_that_is_none_is_refused(host):
    _, _, errors = cleaned(f"host: {host}\n")
    assert [error.path for error in errors] == ["host"]


def test_an_empty_auth_dir_is_the_default():
    assert cleaned('auth-dir: ""\n')[0].auth_dir == "~/.cli-proxy-api"


def test_tls_needs_both_files():
    _, _, errors = cleaned("\ntls: {enable: true, cert: a}\n")
    assert [(error.path, error.line) for error in errors] == [("tls.key", 2)]
    assert cleaned("tls: {enable: true, cert: a, key: b}\n")[2] == ()


def test_origins_are_compared_as_browsers_send_them():
    config, warnings, _ = cleaned(
        "cors-allowed-origins: ['https://A.example/', '*', https://a/b, nonsense, '']\n"
    )
    assert config.cors_allowed_origins == ("https://a.example", "*")
    assert [warning.path for warning in warnings] == ["cors-allowed-origins[2]", "cors-allowed-origins[3]"]


def test_a_wrong_global_proxy_is_fatal_and_not_shown():
    _, _, errors = cleaned("proxy-url: ftp://u:hunter2@p\n")
    [error] = errors
    assert error.path == "proxy-url"
    assert "hunter2" not in str(error)


def test_a_wrong_proxy_of_one_key_is_kept_and_warned_about():
    """Dropping it would let the key go out by another way."""
    config, warnings, errors = cleaned("claude-api-key: [{api-key: k, proxy-url: nonsense}]\n")
    assert config.claude_api_key[0].proxy_url == Secret("nonsense")
    assert [warning.path for warning in warnings] == ["claude-api-key[0].proxy-url"]
    assert errors == ()


def test_a_management_key_that_cannot_be_hashed_is_refused():
    assert cleaned(f"remote-management: {{secret-key: {'x' * 73}}}\n")[2]
    assert cleaned(f"remote-management: {{secret-key: {'x' * 72}}}\n")[2] == ()
    assert cleaned(f"remote-management: {{secret-key: '$2b$10${'x' * 80}'}}\n")[2] == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("routing: {session-affinity-ttl: soon}", "routing.session-affinity-ttl"),
        ("video-result-auth-cache-ttl: soon", "video-result-auth-cache-ttl"),
        ("request-delay: 5,1", "request-delay"),
        ("gpt-image-2-base-model: claude", "gpt-image-2-base-model"),
    ],
)
def test_texts_with_a_syntax_of_their_own_fall_back(text, path):
    config, warnings, _ = cleaned(text)
    assert config == type(config)()
    assert [warning.path for warning in warnings] == [path]


# ----------------------------------------------------------------------------------------------- key lists


@pytest.mark.parametrize(
    ("section", "entry", "reason"),
    [
        ("claude-api-key", "{note: x}", "no api-key"),
        ("claude-api-key", "{api-key: ' '}", "no api-key"),
        ("gitlab-api-key", "{base-url: https://a}", "no api-key"),
        ("gitlab-api-key", "{api-key: k, ai-gateway-url: 'ftp://x'}", "ai-gateway-url must begin"),
        ("vertex-api-key", "{base-url: https://a}", "no api-key"),
        ("codex-api-key", "{api-key: k}", "no base-url"),
        ("claude-api-key", "{api-key: k, base-url: nonsense}", "base-url must begin"),
        ("openai-compatibility", "{name: a}", "base-url is missing"),
        ("openai-compatibility", "{name: a, base-url: 'ftp://x'}", "base-url must begin"),
    ],
)
def test_an_entry_that_cannot_work_is_dropped_and_the_others_stay(section, entry, reason):
    good = "{api-key: k, base-url: 'https://good'}" if "api" in section else "{base-url: 'https://good'}"
    config, warnings, errors = cleaned(
        f"{section}:\n  - {good}\n  - {entry}\n  - {good.replace('good', 'fine')}\n"
    )
    kept = getattr(config, section.replace("-", "_"))
    assert [entry.base_url for entry in kept] == ["https://good", "https://fine"]
    [warning] = warnings
    assert (warning.path, warning.line) == (f"{section}[1]", 3)
    assert reason in warning.message
    assert errors == ()


def test_a_server_without_keys_may_be_named_by_its_address_alone():
    config, warnings, _ = cleaned("claude-api-key: [{base-url: 'http://localhost:1'}]\n")
    assert len(config.claude_api_key) == 1
    assert warnings == ()


def test_a_repeated_key_is_used_once_where_that_is_the_rule():
    text = "- {api-key: k}\n  - {api-key: k}\n  - {api-key: k, prefix: p}\n  - {api-key: k, base-url: 'https://a'}\n"
    config, warnings, _ = cleaned(f"gemini-api-key:\n  {text}")
    assert [entry.place for entry in config.gemini_api_key] == [f"gemini-api-key[{at}]" for at in (0, 2, 3)]
    assert len(warnings) == 1
    assert len(cleaned(f"claude-api-key:\n  {text}")[0].claude_api_key) == 4


def test_a_gitlab_address_needs_no_scheme():
    config, _, _ = cleaned("gitlab-api-key: [{api-key: k, base-url: gitlab.example.com/}]\n")
    assert config.gitlab_api_key[0].base_url == "https://gitlab.example.com"


def test_common_settings_get_their_normal_form():
    text = """
claude-api-key:
  - api-key: " k "
    base-url: "https://a/ "
    prefix: /team/
    proxy-url: " direct "
    headers: {X-A: " 1 ", X-B: "", "Bad Name": x}
    excluded-models: [Foo, foo, " BAR* "]
    models: [{name: a}, {alias: only}, {name: b, alias: c}]
  - {api-key: l, prefix: a/b}
"""
    config, warnings, _ = cleaned(text)
    first, second = config.claude_api_key
    assert (first.api_key, first.base_url, first.prefix) == (Secret("k"), "https://a", "team")
    assert first.proxy_url == Secret("direct")
    assert first.headers == {"X-A": "1"}
    assert first.excluded_models == ("foo", "bar*")
    assert [(model.name, model.alias) for model in first.models] == [("a", ""), ("b", "c")]
    assert second.prefix == ""
    assert [warning.path for warning in warnings] == [
        "claude-api-key[0].headers.Bad Name",
        "claude-api-key[0].models[1]",
        "claude-api-key[1].prefix",
    ]


def test_vertex_models_need_name_and_alias():
    config, warnings, _ = cleaned(
        "vertex-api-key: [{api-key: k, models: [{name: a}, {name: a, alias: b}]}]\n"
    )
    assert [model.alias for model in config.vertex_api_key[0].models] == ["b"]
    assert "no alias" in warnings[0].message


def test_keys_of_a_compatible_upstream_are_cleaned_like_others():
    text = """
openai-compatibility:
  - name: r
    base-url: https://r/v1/
    prefix: /x/
    headers: {X-A: " 1"}
    api-key-entries: [{api-key: " a ", proxy-url: nonsense}, {api-key: ""}]
"""
    config, warnings, _ = cleaned(text)
    [entry] = config.openai_compatibility
    assert (entry.base_url, entry.prefix, entry.headers) == ("https://r/v1", "x", {"X-A": "1"})
    assert reveal(entry.api_key_entries) == ["a", ""]
    assert [warning.path for warning in warnings] == ["openai-compatibility[0].api-key-entries[0].proxy-url"]


# ------------------------------------------------------------------------------------------- accounts' models


def test_alias_channels_are_normalised_and_aliases_unique():
    text = """
oauth-model-alias:
  "Codex ": [{name: a, alias: X}, {name: b, alias: x}, {name: c, alias: C}, {name: d}, {alias: e}]
  codex: [{name: f, alias: y, fork: true}]
  gemini:
  " ": [{name: a, alias: b}]
"""
    config, warnings, _ = cleaned(text)
    assert {
        channel: [model.alias for model in models] for channel, models in config.oauth_model_alias.items()
    } == {
        "codex": ["X", "y"],
        "gemini": [],
    }
    assert config.oauth_model_alias["codex"][1].fork
    reasons = [warning.message for warning in warnings]
    assert ["repeats" in reasons[0], "equal" in reasons[1], "alias" in reasons[2], "name" in reasons[3]] == [
        True
    ] * 4


def test_facts_are_about_a_model_and_only_one_is_about_each():
    text = """
model-facts:
  Codex: [{name: a, context: 1}, {context: 2}, {name: b}]
  codex: [{name: a, context: 3}]
"""
    config, warnings, _ = cleaned(text)
    assert {
        channel: [(f.name, f.context) for f in facts] for channel, facts in config.model_facts.items()
    } == {"codex": [("a", 3), ("b", 0)]}
    assert [(warning.path, warning.line) for warning in warnings] == [
        ("model-facts.Codex[1]", 3),
        ("model-facts.codex[0]", 4),
    ]
    assert "has no name" in warnings[0].message


def test_exclusions_are_patterns_by_channel():
    config, _, _ = cleaned("oauth-excluded-models: {' GitLab': [A*, a*, b], gitlab: [c]}\n")
    assert config.oauth_excluded_models == {"gitlab": ("a*", "b", "c")}


# ------------------------------------------------------------------------------------------------- payload


def test_payload_rules_that_cannot_work_are_dropped_with_a_warning():
    text = """
payload:
  default: [{models: [{name: x}]}, {models: [{name: x}], params: {a: 1}}]
  override-raw:
    - {models: [{name: x}], params: {a: "{"}}
    - {models: [{name: x}], params: {a: '{"b":1}', c: 2, d: ~}}
    - {models: [{name: x}]}
    - {models: [{name: x}], params: {a: " "}}
  filter: [{models: [{name: x}], params: [a.b]}, {}]
"""
    config, warnings, errors = cleaned(text)
    assert [dict(rule.params) for rule in config.payload.default] == [{"a": 1}]
    assert [dict(rule.params) for rule in config.payload.override_raw] == [
        {"a": '{"b":1}', "c": 2, "d": None}
    ]
    assert [rule.params for rule in config.payload.filter] == [("a.b",)]
    assert [warning.path for warning in warnings] == [
        "payload.default[0]",
        "payload.override-raw[0].params.a",
        "payload.override-raw[2]",
        "payload.override-raw[3].params.a",
        "payload.filter[1]",
    ]
    assert errors == ()


def test_what_is_wrong_in_a_payload_rule_is_named_with_its_line():
    text = """
payload:
  override:
    - models:
        - name: a
          protocol: opneai
        - name: b
          from-protocol: Responses
          match: [{"x.y": 1, "x.#(": 2}]
        - name: c
          not-exist:
            - good
            - a..b
        - protocol: codex
        - name: d
          protocol: " Codex"
      params: {a: 1}
    - models: [{name: ""}]
      params: {a: 1}
    - models: [{name: e}]
      params:
        good: 1
        a|b: 1
  filter:
    - models: [{name: f}]
      params:
        - good
        - "@this"
"""
    config, warnings, errors = cleaned(text)
    [rule] = config.payload.override
    assert [entry.name for entry in rule.models] == ["d"]
    assert config.payload.filter == ()
    assert errors == ()
    entry, dropped = "the entry matches no request", "the payload rule is dropped"
    assert [(warning.line, warning.path, warning.message.rpartition("; ")[2]) for warning in warnings] == [
        (6, "payload.override[0].models[0].protocol", entry),
        (9, "payload.override[0].models[1].match[0].x.#(", entry),
        (13, "payload.override[0].models[2].not-exist[1]", entry),
        (14, "payload.override[0].models[3]", entry),
        (18, "payload.override[1].models[0]", entry),
        (18, "payload.override[1]", dropped),
        (23, "payload.override[2].params.a|b", dropped),
        (28, "payload.filter[0].params[1]", dropped),
    ]
    assert "a condition without an end" in warnings[1].message
    assert "is none of antigravity, claude, codex" in warnings[0].message
