"""The key model as a whole: complete, documented, and honest about what it does not do yet."""

import re
from pathlib import Path

import attrs
import pytest

import cliproxy
from cliproxy.config import entries, groups, model
from cliproxy.config.entries import KeyEntry
from cliproxy.config.groups import Payload, QuotaExceeded, Routing, Tls
from cliproxy.config.keys import is_section, keys_of
from cliproxy.config.load import load_config
from cliproxy.config.model import IGNORED_KEYS, NOT_BUILT, Config, inactive_keys
from cliproxy.wire.secret import Secret

DOCUMENTED = """
host port tls.enable tls.cert tls.key remote-management.allow-remote remote-management.secret-key
remote-management.disable-control-panel remote-management.panel-github-repository auth-dir api-keys
debug commercial-mode incognito-browser logging-to-file logs-max-total-size-mb error-logs-max-files
usage-statistics-enabled request-log proxy-url force-model-prefix passthrough-headers request-retry
max-retry-credentials max-retry-interval max-active-auths request-delay request-timeout
disable-cooling quota-exceeded.switch-project quota-exceeded.switch-preview-model routing.strategy
ws-auth nonstream-keepalive-interval streaming.keepalive-seconds streaming.bootstrap-retries
gemini-api-key codex-api-key claude-api-key openai-compatibility vertex-api-key
codex-header-defaults.user-agent codex-header-defaults.beta-features
claude-header-defaults.user-agent claude-header-defaults.package-version
claude-header-defaults.runtime-version claude-header-defaults.timeout oauth-model-alias
oauth-excluded-models payload.default payload.default-raw payload.override payload.override-raw
payload.filter redis-usage-queue-retention-seconds save-cooldown-status
transient-error-cooldown-seconds auth-auto-refresh-workers disable-image-generation
gpt-image-2-base-model video-result-auth-cache-ttl quota-exceeded.antigravity-credits
routing.session-affinity routing.session-affinity-ttl remote-management.disable-auto-update-panel
interactions-api-key xai-api-key xai.inject-x-search codex.stream-bootstrap-buffering
codex.optimize-multi-agent-v2 antigravity-signature-cache-enabled
antigravity-signature-bypass-strict oauth-request-scoped-errors oauth-clients
"""
"""Keys that files written for other servers of this kind use."""


def _paths(kind, prefix=""):
    for name, declared in keys_of(kind).items():
        yield prefix + name
        if is_section(declared.type):
            yield from _paths(declared.type, f"{prefix}{name}.")


def _kinds(kind):
    yield kind
    for declared in keys_of(kind).values():
        stack = [declared.type]
        while stack:
            inner = stack.pop()
            if is_section(inner):
                yield from _kinds(inner)
            stack.extend(getattr(inner, "__args__", ()))


@pytest.mark.parametrize("path", DOCUMENTED.split())
def test_every_documented_key_is_known(path):
    assert path in set(_paths(Config))


def test_every_key_says_what_it_is_for():
    for kind in _kinds(Config):
        for declared in keys_of(kind).values():
            assert declared.info.doc.endswith((".", ":")), (kind, declared.name)
            assert declared.info.doc.isascii(), (kind, declared.name)


def test_every_attribute_is_a_key_or_the_place():
    for kind in _kinds(Config):
        attributes = {attribute.name for attribute in attrs.fields(kind)} - {"place"}
        assert attributes == {declared.attribute for declared in keys_of(kind).values()}


def test_ignored_keys_are_not_keys_of_the_model():
    assert not (IGNORED_KEYS | set(NOT_BUILT)) & set(_paths(Config))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("port", 8317),
        ("auth_dir", "~/.cli-proxy-api"),
        ("request_retry", 3),
        ("max_retry_interval", 30),
        ("ws_auth", True),
        ("usage_statistics_enabled", True),
        ("logging_to_file", False),
        ("cors_allowed_origins", ()),
        ("api_keys", ()),
    ],
)
def test_decided_defaults(attribute, value):
    assert getattr(Config(), attribute) == value


def test_the_defaults_set_nothing_that_is_inactive():
    assert inactive_keys(Config()) == ()


def test_an_inactive_key_is_reported_with_its_line():
    config = Config(antigravity_signature_bypass_strict=True, debug=True)
    [problem] = inactive_keys(config, {"antigravity-signature-bypass-strict": 7})
    assert (problem.path, problem.line, problem.fatal) == ("antigravity-signature-bypass-strict", 7, False)
    assert "not active yet" in problem.message


def test_inactive_keys_inside_groups_and_lists_are_found():
    config = Config(
        routing=Routing(session_affinity=False),
        quota_exceeded=QuotaExceeded(antigravity_credits=False),
        payload=Payload(filter=()),
        claude_api_key=(KeyEntry(api_key=Secret("k")), KeyEntry(api_key=Secret("l"), alpha_search=True)),
        interactions_api_key=(KeyEntry(api_key=Secret("v")),),
    )
    found = {problem.path for problem in inactive_keys(config)}
    assert found == {
        "quota-exceeded.antigravity-credits",
        "claude-api-key[1].alpha-search",
        "interactions-api-key",
    }


def test_every_key_about_picking_is_acted_on():
    routing = Routing(
        strategy="least-busy", session_affinity=False, session_affinity_ttl="5m", max_concurrent=2
    )
    key = KeyEntry(api_key=Secret("k"), weight=3, max_concurrent=1)
    config = Config(routing=routing, max_retry_credentials=2, claude_api_key=(key,))
    assert inactive_keys(config) == ()


def test_no_secret_shows_in_the_representation():
    config = Config(api_keys=(Secret("client-secret"),), tls=Tls(), proxy_url=Secret("http://u:pw@h"))
    assert "client-secret" not in repr(config)
    assert "pw" not in repr(config)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", False),
        ("api-keys: [a-client-key-that-is-long]", True),
        ("client-keys: [{name: a, key: a-client-key-that-is-long}]", True),
        ("client-keys: [{name: a, key: a-client-key-that-is-long, disabled: true}]", True),
    ],
)
def test_keys_are_asked_for_as_soon_as_there_is_one_of_either_kind(text, asks):
    assert load_config(text).config.asks_for_keys is asks


def test_nothing_is_said_to_work_that_nobody_looks_at_nor_the_reverse():
    """A key that works is named somewhere outside the configuration, and one that is named there works."""
    root = Path(cliproxy.__file__).parent
    source = "\n".join(p.read_text("utf-8") for p in root.rglob("*.py") if p.parent != root / "config")
    wrong = {
        f"{kind.__name__}.{declared.name}"
        for kind in SECTIONS
        for declared in keys_of(kind).values()
        if not is_section(type(declared.default))
        and declared.info.active is not _is_named(declared.attribute, declared.name, source)
    }
    # Words that mean something else where they are used, one that is read for a later version, and one that
    # asks for what is always done.
    assert wrong == {
        "CodexOptions.stream-bootstrap-buffering",
        "KeyEntry.websockets",
        "CodexHeaderDefaults.user-agent",
        "ClaudeHeaderDefaults.user-agent",
        "ClaudeHeaderDefaults.timeout",
    }


SECTIONS = [
    kind
    for module in (entries, groups, model)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and is_section(kind)
]


def _is_named(attribute: str, name: str, source: str) -> bool:
    return re.search(rf'\b{attribute}\b|"{re.escape(name)}"', source) is not None
