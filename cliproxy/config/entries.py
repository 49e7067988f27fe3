"""The items of the lists in the configuration: provider keys, client keys, model names, payload rules.

All lists of single keys (``gemini-api-key``, ``claude-api-key``, …) share :class:`KeyEntry`. A key that only
some lists know names them in ``only``; elsewhere it is an unknown key.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from cliproxy.config.keys import place, setting
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret

_ALIASES_ONLY: Final = frozenset({"oauth-model-alias"})
_CODEX_ONLY: Final = frozenset({"codex-api-key"})
_CLAUDE_ONLY: Final = frozenset({"claude-api-key"})
_GITLAB_ONLY: Final = frozenset({"gitlab-api-key"})

_MODEL: Final[JsonObject] = {"name": "upstream-model", "alias": "client-model"}
_PAYLOAD_MODEL: Final[JsonObject] = {"name": "gpt-*", "protocol": "codex"}
_SCOPED_ERROR: Final[JsonObject] = {"status": 429, "match": ["quota"], "action": "continue"}

REST_FALLBACKS: Final[Mapping[str, str]] = {wish: wish for wish in ("auto", "always", "never")}
ERROR_ACTIONS: Final[Mapping[str, str]] = {
    action: action for action in ("stop", "stop-and-cooldown", "continue", "continue-and-cooldown")
}


@frozen(kw_only=True)
class ModelName:
    """A model and the name clients use for it."""

    name: str = setting("", "Name of the model at the upstream.", active=True)
    alias: str = setting("", "Name clients use; empty: the same name.", active=True)
    fork: bool = setting(
        False, "Keep serving the original name beside the alias.", active=True, only=_ALIASES_ONLY
    )
    force_mapping: bool = setting(False, "Show the alias as the model name of answers, too.", active=True)
    thinking: Mapping[str, JsonValue] | None = setting(
        None, "Thinking the model can do, such as {levels: [low, high]}; empty: as known.", active=True
    )
    display_name: str = setting("", "Name shown in model lists; empty: as known.", active=True)
    max_context_length: int = setting(
        0, "Context window in tokens, for model lists; 0: as known.", active=True, minimum=0, below=0
    )
    is_compat: bool = setting(
        False, "It only has the name of a known model: conclude nothing from it.", active=True
    )
    image: bool = setting(
        False, "The model only makes images: ask for them at the images API of the server.", active=True
    )
    input_modalities: tuple[str, ...] = setting(
        (), "What the model reads, for model lists, such as [text, image].", active=True
    )
    output_modalities: tuple[str, ...] = setting((), "What the model writes, for model lists.", active=True)


@frozen(kw_only=True)
class ModelFacts:
    """What the owner knows better about a model; what he leaves out stays as it is known."""

    name: str = setting("", "Name of the model at the upstream.", active=True)
    display_name: str = setting("", "Name shown in model lists; empty: as known.", active=True)
    context: int = setting(0, "Context window in tokens; 0: as known.", active=True, minimum=0, below=0)
    max_output: int = setting(0, "Longest answer in tokens; 0: as known.", active=True, minimum=0, below=0)
    thinking: Mapping[str, JsonValue] | None = setting(
        None, "Thinking the model can do, such as {levels: [low, high]}; empty: as known.", active=True
    )


@frozen(kw_only=True)
class ModelPrice:
    """What a model costs, in USD for a million tokens."""

    name: str = setting("", 'Name of the model at the upstream; "*" stands for anything.', active=True)
    input: float = setting(0.0, "Tokens of the prompt.", active=True, minimum=0)
    output: float = setting(0.0, "Tokens of the answer, reasoning included.", active=True, minimum=0)
    cache_read: float | None = setting(
        None, "Tokens read from a prompt cache; empty: as input.", active=True, minimum=0
    )
    cache_write: float | None = setting(
        None, "Tokens written to a prompt cache; empty: as input.", active=True, minimum=0
    )


@frozen(kw_only=True)
class ScopedError:
    """An upstream error that the owner wants treated in a certain way."""

    status: int = setting(0, "Status the rule is about; 0: every error status.", active=True, minimum=0)
    match: tuple[str, ...] = setting((), "Texts, one of which the error contains.", active=True)
    match_regexr: tuple[str, ...] = setting(
        (), "Regular expressions, one of which the error matches.", active=True
    )
    action: str = setting(
        "stop",
        "stop, stop-and-cooldown, continue or continue-and-cooldown: whether other credentials are tried.",
        active=True,
        words=ERROR_ACTIONS,
    )


@frozen(kw_only=True)
class KeyEntry:
    """One key of one upstream account, with its settings."""

    place: str = place()
    api_key: Secret = setting(Secret(""), "The key or token.", active=True)
    note: str = setting("", "Free text for yourself.", active=True)
    disabled: bool = setting(False, "Keep the entry and do not use it.", active=True)
    base_url: str = setting("", "Address of the API; empty: the provider's own.", active=True)
    proxy_url: Secret = setting(
        Secret(""), 'Proxy for this key alone; empty: the global one; "direct": no proxy.', active=True
    )
    prefix: str = setting("", "Serve the models as prefix/model as well.", active=True)
    priority: int = setting(0, "Keys of the highest priority that are usable are used first.", active=True)
    weight: int = setting(
        1,
        "Share under weighted-round-robin; 0 or less: not used.",
        active=True,
        maximum=1_000_000,
        above=1_000_000,
    )
    max_concurrent: int | None = setting(
        None, "Overrides routing.max-concurrent; 0: any number.", active=True, minimum=0, below=0
    )
    headers: Mapping[str, str] = setting(
        {},
        'Extra request headers; a value "$Name" copies that header of the client.',
        active=True,
        shown=False,
        example={"X-Team": "blue"},
    )
    models: tuple[ModelName, ...] = setting(
        (),
        "The models this key serves, in place of the known ones.",
        active=True,
        example=_MODEL,
    )
    excluded_models: tuple[str, ...] = setting(
        (),
        'Models this key must not serve; "*" stands for anything.',
        active=True,
        example=["*-preview"],
    )
    websockets: bool = setting(False, "Reach the upstream over a websocket.", only=_CODEX_ONLY)
    alpha_search: bool = setting(False, "Offer the upstream's own search.", only=_CODEX_ONLY)
    rebuild_mid_system_message: bool = setting(
        False,
        "Move system messages from inside the conversation to its head.",
        active=True,
        only=_CLAUDE_ONLY,
    )
    default_model: str = setting(
        "",
        "Model behind the name gitlab-duo; empty: the one GitLab assigns.",
        active=True,
        only=_GITLAB_ONLY,
    )
    rest_fallback: str = setting(
        "auto",
        "GitLab's text endpoints: auto (where no model gateway is open), always (nothing else) or never.",
        active=True,
        only=_GITLAB_ONLY,
        words=REST_FALLBACKS,
    )
    ai_gateway_url: str = setting(
        "",
        "Address of a model gateway of your own; empty: the one GitLab names, or GitLab's.",
        active=True,
        only=_GITLAB_ONLY,
    )
    duo_namespace_id: str = setting(
        "",
        "Number of the top-level group whose models are offered; empty: the first group that offers any.",
        active=True,
        only=_GITLAB_ONLY,
    )
    project_path: str = setting(
        "",
        "Project that code is completed for unless the client names one, such as group/project.",
        active=True,
        only=_GITLAB_ONLY,
    )
    disable_cooling: bool | None = setting(None, "Overrides the global disable-cooling.", active=True)
    request_retry: int | None = setting(
        None, "Overrides the global request-retry; negative: does not.", active=True
    )
    request_scoped_errors: tuple[ScopedError, ...] = setting(
        (), "How certain upstream errors are treated.", active=True, example=_SCOPED_ERROR
    )


@frozen(kw_only=True)
class CompatibleKey:
    """One key of an OpenAI-compatible upstream."""

    place: str = place()
    api_key: Secret = setting(Secret(""), "The key; empty: the upstream wants none.", active=True)
    proxy_url: Secret = setting(Secret(""), 'Proxy for this key alone; "direct": no proxy.', active=True)
    weight: int = setting(
        1,
        "Share under weighted-round-robin; 0 or less: not used.",
        active=True,
        maximum=1_000_000,
        above=1_000_000,
    )
    max_concurrent: int | None = setting(
        None, "Overrides routing.max-concurrent; 0: any number.", active=True, minimum=0, below=0
    )


@frozen(kw_only=True)
class CompatibleEntry:
    """An OpenAI-compatible upstream with its keys and models."""

    place: str = place()
    name: str = setting("", "Name of the upstream; clients may ask for name://model.", active=True)
    note: str = setting("", "Free text for yourself.", active=True)
    disabled: bool = setting(False, "Keep the entry and do not use it.", active=True)
    base_url: str = setting("", "Address of the API, up to and including /v1.", active=True)
    api_key_entries: tuple[CompatibleKey, ...] = setting(
        (), "The keys; none: the upstream is used without one.", active=True, example={"api-key": "sk-..."}
    )
    models: tuple[ModelName, ...] = setting(
        (),
        "The models it serves. One alias with several names makes a pool.",
        active=True,
        example=_MODEL,
    )
    excluded_models: tuple[str, ...] = setting(
        (),
        'Models it must not serve; "*" stands for anything.',
        active=True,
        example=["*-preview"],
    )
    prefix: str = setting("", "Serve the models as prefix/model as well.", active=True)
    priority: int = setting(
        0, "Upstreams of the highest priority that are usable are used first.", active=True
    )
    headers: Mapping[str, str] = setting(
        {},
        'Extra request headers; a value "$Name" copies that header of the client.',
        active=True,
        shown=False,
        example={"X-Team": "blue"},
    )
    support_prompt_cache_key: bool = setting(False, "The upstream understands prompt_cache_key.", active=True)
    disable_cooling: bool | None = setting(None, "Overrides the global disable-cooling.", active=True)
    request_retry: int | None = setting(
        None, "Overrides the global request-retry; negative: does not.", active=True
    )
    request_scoped_errors: tuple[ScopedError, ...] = setting(
        (), "How certain upstream errors are treated.", active=True, example=_SCOPED_ERROR
    )


@frozen(kw_only=True)
class PayloadModel:
    """Which requests a payload rule is about; all given conditions must hold."""

    name: str = setting("", 'Model, of the upstream or the client; "*" stands for anything.', active=True)
    protocol: str = setting(
        "",
        "Protocol towards the upstream: openai, codex, claude, gemini, antigravity, xai; empty: any.",
        active=True,
    )
    from_protocol: str = setting(
        "", "Protocol of the client: openai, responses, claude, gemini; empty: any.", active=True
    )
    headers: Mapping[str, str] = setting(
        {},
        'Headers of the client\'s request and what they must look like; "*" stands for anything.',
        active=True,
        shown=False,
    )
    match: tuple[Mapping[str, JsonValue], ...] = setting(
        (), "Paths of the request and the values they must have.", active=True
    )
    not_match: tuple[Mapping[str, JsonValue], ...] = setting(
        (), "Paths and the values they must not have.", active=True
    )
    exist: tuple[str, ...] = setting((), "Paths that must be there.", active=True)
    not_exist: tuple[str, ...] = setting((), "Paths that must not be there.", active=True)


PAYLOAD_PROTOCOLS: Final = frozenset(
    {
        "antigravity",
        "claude",
        "codex",
        "gemini",
        "gemini-cli",
        "openai",
        "openai-response",
        "responses",
        "xai",
    }
)
"""What a payload rule may call a protocol, on either side."""


@frozen(kw_only=True)
class PayloadRule:
    """Values to be set in requests of certain models."""

    models: tuple[PayloadModel, ...] = setting(
        (), "Which requests the rule is about.", active=True, example=_PAYLOAD_MODEL
    )
    params: Mapping[str, JsonValue] = setting(
        {}, "Paths and their values.", active=True, example={"reasoning.effort": "high"}
    )


@frozen(kw_only=True)
class PayloadFilter:
    """Paths to be removed from requests of certain models."""

    models: tuple[PayloadModel, ...] = setting(
        (), "Which requests the rule is about.", active=True, example=_PAYLOAD_MODEL
    )
    params: tuple[str, ...] = setting((), "The paths.", active=True, example=["reasoning.effort"])


@frozen(kw_only=True)
class ClientKey:
    """A key of a client, and what it may do. A limit that is left out is none."""

    place: str = place()
    name: str = setting("", "Who has the key; lists, logs and error messages show it.", active=True)
    hash: Secret = setting(
        Secret(""),
        'SHA-256 of the key, as "sha256:" and 64 digits; `cliproxy keys new` makes key and hash.',
        active=True,
    )
    key: Secret = setting(Secret(""), "The key itself, in place of its hash.", active=True)
    models: tuple[str, ...] = setting(
        (), 'Models it may use, by the names of clients; "*" stands for anything. None: all.', active=True
    )
    providers: tuple[str, ...] = setting(
        (), "Providers it may use, or names of openai-compatibility. None: all.", active=True
    )
    requests_per_minute: int | None = setting(None, "Requests in any 60 seconds.", active=True, minimum=1)
    tokens_per_minute: int | None = setting(
        None, "Tokens, read and written, in any 60 seconds.", active=True, minimum=1
    )
    tokens_per_day: int | None = setting(None, "Tokens in a day (UTC).", active=True, minimum=1)
    tokens_per_month: int | None = setting(None, "Tokens in a calendar month (UTC).", active=True, minimum=1)
    money_per_day: float | None = setting(
        None, "US dollars in a day (UTC), by list prices.", active=True, minimum=0
    )
    money_per_month: float | None = setting(
        None, "US dollars in a calendar month (UTC), by list prices.", active=True, minimum=0
    )
    concurrent: int | None = setting(
        None,
        "Requests at the same time; overrides limits.concurrent-requests-per-key.",
        active=True,
        minimum=1,
    )
    expires: str = setting(
        "", "Last day (UTC) it can be used, such as 2030-12-31, or a time, 2030-12-31T18:00:00Z.", active=True
    )
    disabled: bool = setting(False, "Keep the entry and refuse the key.", active=True)
    note: str = setting("", "Free text for yourself.", active=True)


@frozen(kw_only=True)
class OAuthClient:
    """An OAuth application of the owner's."""

    client_id: str = setting("", "Application id.", active=True)
    client_secret: Secret = setting(
        Secret(""), "Application secret, where the application has one.", active=True
    )
