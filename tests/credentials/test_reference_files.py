"""Credential files as the reference server writes them: read unchanged, written back without a loss.

The files are in ``fixtures``, one for each form. What a file must be read as stands in :data:`EXPECTED`; the
part that asks a provider is left out for types that no provider here reads yet.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import field, frozen

from cliproxy.credentials.files import codec_table, decode_credential, merge_tokens, to_bytes
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.credentials.times import unix_time
from cliproxy.providers import PROVIDERS
from cliproxy.wire.jsontext import JsonObject, JsonValue, loads_object, text

FIXTURES = Path(__file__).parent / "fixtures"
CODECS = codec_table(provider.codec for provider in PROVIDERS if provider.codec is not None)
BY_KEY = {provider.key: provider for provider in PROVIDERS}
END = "2026-11-21T10:30:00Z"


@frozen(kw_only=True)
class Expected:
    """How a file is to be read."""

    provider: str
    label: str
    token: str = ""
    """The token that is used first; empty: none that comes out of the file as it is."""
    end: str = ""
    """When that token ends; empty: it is not known."""
    settings: Mapping[str, JsonValue] = field(factory=dict)
    """Attributes of the credential that the owner has set."""


EXPECTED = {
    "gitlab-oauth": Expected(provider="gitlab", label="jo", token="gitlab-access", end=END),
    "gitlab-pat": Expected(provider="gitlab", label="jo", token="gitlab-pat-value"),
    "gemini": Expected(
        provider="gemini-cli",
        label="jo@example.org",
        token="google-access",
        end="2026-11-21T10:30:00.123456Z",
    ),
    "gemini-flat": Expected(provider="gemini-cli", label="jo@example.org", token="google-access", end=END),
    "codex": Expected(
        provider="codex",
        label="jo@example.org",
        token="openai-access",
        end=END,
        settings={"websockets": True},
    ),
    "claude": Expected(provider="claude", label="jo@example.org", token="anthropic-access", end=END),
    "claude-v7": Expected(
        provider="claude",
        label="jo@example.org",
        token="anthropic-access",
        end=END,
        settings={"headers": {"X-Mine": "1"}},
    ),
    "qwen": Expected(provider="qwen", label="jo", token="qwen-access", end=END),
    "iflow-oauth": Expected(provider="iflow", label="jo@example.org", token="iflow-key", end=END),
    "iflow-cookie": Expected(provider="iflow", label="jo", token="iflow-key", end="2026-11-28T16:30:00Z"),
    "vertex": Expected(provider="vertex", label="robot@first-project.iam.gserviceaccount.com"),
    "antigravity": Expected(provider="antigravity", label="jo@example.org", token="google-access", end=END),
    "kimi": Expected(provider="kimi", label="kimi", token="kimi-access", end=END),
    "github-copilot": Expected(provider="github-copilot", label="jo@example.org", token="github-access"),
    "xai": Expected(provider="xai", label="jo@example.org", token="xai-access", end=END),
    "kilo": Expected(provider="kilo", label="jo@example.org", token="kilo-access"),
    "kiro": Expected(provider="kiro", label="jo@example.org", token="kiro-access", end=END),
}


def content(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def document(name: str) -> JsonObject:
    return loads_object(content(name))


def read(name: str) -> Credential:
    if text(document(name), "type") not in CODECS:
        pytest.skip("no provider reads this type yet")
    decoded = decode_credential(f"{name}.json", content(name), CODECS)
    assert decoded.warnings == ()
    return decoded.credential


def test_every_file_is_expected_to_be_something() -> None:
    assert {path.stem for path in FIXTURES.iterdir()} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_read_unchanged(name: str) -> None:
    expected, credential = EXPECTED[name], read(name)
    assert dict(credential.data) == document(name)
    assert (credential.provider, credential.label) == (expected.provider, expected.label)
    assert not credential.disabled
    assert {key: getattr(credential, key) for key in expected.settings} == expected.settings


@pytest.mark.parametrize("name", EXPECTED)
def test_the_token_in_a_file_is_used(name: str) -> None:
    expected, credential = EXPECTED[name], read(name)
    policy = BY_KEY[credential.provider].slots[TokenSlot.ACCOUNT]
    token = policy.initial(credential)
    assert (token.value.reveal() if token is not None else "") == expected.token
    assert (token.expires_at if token is not None else None) == unix_time(expected.end)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_written_back_without_a_loss(name: str) -> None:
    before = document(name)
    assert loads_object(to_bytes(merge_tokens(before, {}))) == before
    renewal: JsonObject = {"access_token": "new", "refresh_token": "", "last_refresh": "2026-11-21T09:00:00Z"}
    after = loads_object(to_bytes(merge_tokens(before, renewal)))
    assert after["access_token"] == "new"
    assert {key: after[key] for key in before if key not in renewal} == {
        key: value for key, value in before.items() if key not in renewal
    }
    assert after.get("refresh_token", "") == before.get("refresh_token", "")
