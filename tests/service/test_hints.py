"""Names of providers that nobody has are said, with their lines."""

import pytest

from cliproxy.config.example import example_config
from cliproxy.config.load import load_config
from cliproxy.providers import PROVIDERS
from cliproxy.service.hints import BY_PROVIDER, with_hints


@pytest.mark.parametrize(
    ("names", "unknown"), [("[claude, Gemini, mine]", []), ("[]", []), ("[clade, mine, x]", ["clade", "x"])]
)
def test_providers_that_nobody_has_are_named(names: str, unknown: list[str]) -> None:
    text = f"""
openai-compatibility: [{{name: Mine, base-url: "http://a/v1"}}]
client-keys:
  - name: a
    key: a-client-key-that-is-long
    providers: {names}
"""
    warnings = with_hints(load_config(text), PROVIDERS).warnings
    assert [(warning.path, warning.line) for warning in warnings] == [
        ("client-keys[0].providers", 6) for _ in unknown
    ]
    assert all(f"`{name}`" in warning.message for name, warning in zip(unknown, warnings, strict=True))


def test_what_stands_under_a_provider_that_nobody_has_has_no_effect() -> None:
    text = """\
oauth-model-alias:
  gemnii: [{name: a, alias: b}]
  qwen: [{name: a, alias: b}]
  kiro:
oauth-excluded-models: {Kimi: ["*"], nobody: ["*"]}
model-facts: {codex: [{name: a}]}
"""
    warnings = with_hints(load_config(text), PROVIDERS).warnings
    assert [(each.path, each.line) for each in warnings] == [
        ("oauth-model-alias.gemnii", 2),
        ("oauth-excluded-models.nobody", 5),
    ]
    assert "there is no provider `gemnii`" in warnings[0].message


@pytest.mark.parametrize("key", BY_PROVIDER)
def test_a_configuration_without_mistakes_stays_as_it_is(key: str) -> None:
    loaded = load_config(f"{key}: {{}}\n")
    assert with_hints(loaded, PROVIDERS) is loaded


def test_oauth_clients_that_no_login_looks_for_are_named() -> None:
    text = "oauth-clients:\n  gemini: {client-secret: x}\n  gemini-cli: {client-secret: x}\n"
    (warning,) = with_hints(load_config(text), PROVIDERS).warnings
    assert (warning.path, warning.line) == ("oauth-clients.gemini-cli", 3)
    assert "antigravity, gemini, gitlab, iflow" in warning.message


def test_the_example_names_an_oauth_client_that_exists() -> None:
    text = example_config().replace("\n#", "\n")
    start = text.index("oauth-clients:\n")
    name = text[start:].split("\n")[1].strip().rstrip(":")
    assert name in {provider.oauth_client for provider in PROVIDERS}
