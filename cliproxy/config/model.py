"""The configuration: one frozen value for the whole file.

Keys are accepted in full, also those the program does not act on yet, so that a file written for another
version of this kind of server loads unchanged. :func:`inactive_keys` says which keys a configuration sets
without effect.

Adding a key is one line here or in the class of its section: the reader, the example file and the reports
follow from the declaration (:mod:`cliproxy.config.keys`).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from cliproxy.config.entries import (
    ClientKey,
    CompatibleEntry,
    KeyEntry,
    ModelFacts,
    ModelName,
    ModelPrice,
    OAuthClient,
    ScopedError,
)
from cliproxy.config.groups import (
    LOG_FORMATS,
    ClaudeHeaderDefaults,
    CodexHeaderDefaults,
    CodexOptions,
    Database,
    Limits,
    Metrics,
    Payload,
    QuotaExceeded,
    RemoteManagement,
    Routing,
    Streaming,
    Timeouts,
    Tls,
    XaiOptions,
)
from cliproxy.config.keys import is_section, keys_of, setting
from cliproxy.errors import Problem
from cliproxy.wire.secret import Secret

DEFAULT_PORT: Final = 8317
DEFAULT_AUTH_DIR: Final = "~/.cli-proxy-api"

SERVE: Final = "serve"
REFUSE: Final = "refuse"
WHEN_UNSAVED: Final[Mapping[str, str]] = {word: word for word in (SERVE, REFUSE)}
IMAGE_GENERATION: Final[Mapping[str, str]] = {word: word for word in ("false", "true", "chat", "passthrough")}


@frozen(kw_only=True)
class Config:
    """Everything a configuration file can say."""

    host: str = setting(
        "",
        "Address to listen on. Empty: this machine only while there are no api-keys, otherwise all.",
        active=True,
    )
    port: int = setting(DEFAULT_PORT, "TCP port; 0: any free one.", active=True, minimum=0, maximum=65535)
    tls: Tls = setting(Tls(), "HTTPS.", active=True)
    api_keys: tuple[Secret, ...] = setting(
        (),
        "Keys that clients must send. None: everybody who can reach the server may use it.",
        active=True,
        example=["your-api-key-1"],
    )
    client_keys: tuple[ClientKey, ...] = setting(
        (),
        "Keys of clients with a name and limits. They are accepted besides api-keys, which have no limits.",
        active=True,
        example={"name": "alice", "key": "your-api-key-2"},
    )
    client_keys_when_unsaved: str = setting(
        SERVE,
        "Client keys with limits per day or month while nothing can be saved: serve or refuse them.",
        active=True,
        words=WHEN_UNSAVED,
    )
    allow_unauthenticated: bool = setting(
        False, "Allow a host other than this machine although there are no api-keys.", active=True
    )
    cors_allowed_origins: tuple[str, ...] = setting(
        (),
        'Web pages that may call the API from a browser, such as "https://chat.example.com"; "*": all.',
        active=True,
        example=["https://chat.example.com"],
    )
    auth_dir: str = setting(
        DEFAULT_AUTH_DIR, "Directory of the credential files that logins write.", active=True
    )
    debug: bool = setting(False, "Log every decision.", active=True)
    limits: Limits = setting(Limits(), "Bounds on sizes and numbers.", active=True)
    timeouts: Timeouts = setting(Timeouts(), "How long is waited, in seconds.", active=True)

    proxy_url: Secret = setting(
        Secret(""),
        'Proxy to all upstreams: http, https, socks5, socks5h. Empty: the environment says; "direct": none.',
        active=True,
    )
    request_retry: int = setting(
        3, "Further rounds over the credentials after all failed.", active=True, minimum=0, below=0
    )
    max_retry_interval: int = setting(
        30,
        "Longest wait in seconds for a credential to become usable again.",
        active=True,
        minimum=0,
        below=0,
    )
    streaming: Streaming = setting(Streaming(), "Streamed answers.", active=True)
    nonstream_keepalive_interval: int = setting(
        0,
        "Send blank lines every so many seconds while an answer is prepared; 0: do not.",
        active=True,
        minimum=0,
        below=0,
    )
    passthrough_headers: bool = setting(
        False, "Pass on the harmless headers of upstream answers.", active=True
    )
    routing: Routing = setting(Routing(), "Which credential serves a request.", active=True)
    force_model_prefix: bool = setting(
        False, "Use credentials with a prefix only for requests that name the prefix.", active=True
    )

    gitlab_api_key: tuple[KeyEntry, ...] = setting(
        (),
        "Personal access tokens of GitLab Duo accounts.",
        active=True,
        example={"api-key": "glpat-...", "base-url": "https://gitlab.com"},
    )
    claude_api_key: tuple[KeyEntry, ...] = setting(
        (), "Keys of the Claude API.", active=True, example={"api-key": "sk-ant-..."}
    )
    codex_api_key: tuple[KeyEntry, ...] = setting(
        (),
        "Keys of the OpenAI Responses API; base-url is required.",
        active=True,
        example={"api-key": "sk-...", "base-url": "https://api.openai.com/v1"},
    )
    gemini_api_key: tuple[KeyEntry, ...] = setting(
        (), "Keys of the Gemini API.", active=True, example={"api-key": "AIza..."}
    )
    openai_compatibility: tuple[CompatibleEntry, ...] = setting(
        (),
        "Upstreams that speak the OpenAI Chat API; base-url is required.",
        active=True,
        example={"name": "openrouter", "base-url": "https://openrouter.ai/api/v1"},
    )
    oauth_model_alias: Mapping[str, tuple[ModelName, ...]] = setting(
        {},
        "Other names for the models of accounts, by provider.",
        active=True,
        example={"gitlab": {"name": "claude-sonnet-4-5", "alias": "sonnet"}},
    )
    oauth_excluded_models: Mapping[str, tuple[str, ...]] = setting(
        {},
        'Models that accounts must not serve, by provider; "*" stands for anything.',
        active=True,
        example={"gitlab": ["*-legacy"]},
    )
    model_facts: Mapping[str, tuple[ModelFacts, ...]] = setting(
        {},
        "Facts about models, by provider; they go before those of this release and the upstream's list.",
        active=True,
        example={"codex": {"name": "gpt-6", "context": 400000, "thinking": {"levels": ["low", "high"]}}},
    )

    vertex_api_key: tuple[KeyEntry, ...] = setting(
        (), "Keys of Vertex AI and upstreams like it.", active=True, example={"api-key": "..."}
    )
    interactions_api_key: tuple[KeyEntry, ...] = setting(
        (), "Keys of the Gemini Interactions API.", example={"api-key": "AIza..."}
    )
    xai_api_key: tuple[KeyEntry, ...] = setting(
        (), "Keys of the xAI API.", active=True, example={"api-key": "xai-..."}
    )
    oauth_clients: Mapping[str, OAuthClient] = setting(
        {}, "OAuth applications for logins, by provider.", active=True, example={"gemini": {}}
    )
    oauth_request_scoped_errors: Mapping[str, tuple[ScopedError, ...]] = setting(
        {},
        "How certain upstream errors of accounts are treated, by provider.",
        active=True,
        example={"gitlab": {"status": 429, "match": ["quota"], "action": "continue"}},
    )
    payload: Payload = setting(Payload(), "Changes to requests on their way to the upstream.", active=True)
    max_retry_credentials: int = setting(
        0, "Credentials tried in one round; 0: all.", active=True, minimum=0, below=0
    )
    max_active_auths: int = setting(
        0,
        "Credentials in use for a model; others stand in when one rests; 0: all.",
        active=True,
        minimum=0,
        below=0,
    )
    disable_cooling: bool = setting(False, "Do not rest credentials that failed.", active=True)
    save_cooldown_status: bool = setting(True, "Remember over restarts which credentials rest.", active=True)
    transient_error_cooldown_seconds: int = setting(
        0,
        "Rest in seconds after a passing upstream error; 0: the usual, longer each time; negative: none.",
        active=True,
        minimum=-1,
        below=-1,
    )
    quota_exceeded: QuotaExceeded = setting(
        QuotaExceeded(), "What to try when a quota is used up.", active=True
    )
    request_delay: str = setting(
        "", 'Random wait before upstream requests in seconds: "min,max".', active=True
    )
    request_timeout: int = setting(
        0,
        "Limit of one round over the credentials in seconds, when not streaming; 0: none.",
        active=True,
        minimum=0,
        below=0,
    )
    auth_auto_refresh_workers: int = setting(
        16, "Accounts refreshed at the same time.", active=True, minimum=1, below=16
    )
    codex_header_defaults: CodexHeaderDefaults = setting(
        CodexHeaderDefaults(), "Header values for Codex accounts."
    )
    claude_header_defaults: ClaudeHeaderDefaults = setting(
        ClaudeHeaderDefaults(), "Header values for Claude accounts."
    )
    codex: CodexOptions = setting(CodexOptions(), "Codex upstreams.", active=True)
    xai: XaiOptions = setting(XaiOptions(), "xAI upstreams.")
    antigravity_signature_cache_enabled: bool = setting(
        True, "Remember signatures of thoughts (Antigravity)."
    )
    antigravity_signature_bypass_strict: bool = setting(
        False, "Refuse thoughts without a signature (Antigravity)."
    )
    disable_image_generation: str = setting(
        "false",
        "Turn image generation off: false, true (the images routes as well), chat or passthrough.",
        active=True,
        words=IMAGE_GENERATION,
    )
    gpt_image_2_base_model: str = setting(
        "gpt-5.4-mini", "Model that carries image requests; begins with gpt-."
    )
    video_result_auth_cache_ttl: str = setting(
        "3h", "How long a video is bound to the credential that made it."
    )
    ws_auth: bool = setting(True, "Ask for a client key on the websocket relay.")
    incognito_browser: bool = setting(False, "Open logins in a private browser window.", active=True)
    model_catalog_url: str = setting(
        "", "Where newer model facts come from; empty: those of this release.", active=True
    )

    remote_management: RemoteManagement = setting(RemoteManagement(), "The management interface.")
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses of reverse proxies whose forwarded headers are believed.", example=["10.0.0.1"]
    )
    usage_statistics_enabled: bool = setting(True, "Keep usage statistics.", active=True)
    database: Database = setting(
        Database(),
        "Where usage, pauses of accounts and counters of keys are kept over restarts.",
        active=True,
    )
    model_prices: Mapping[str, tuple[ModelPrice, ...]] = setting(
        {},
        "What models cost, by provider; these prices go before the known ones.",
        active=True,
        example={"openai-compatibility": {"name": "qwen3-*", "input": 0.5, "output": 2.0}},
    )
    redis_usage_queue_retention_seconds: int = setting(
        60, "How long usage events wait to be fetched.", minimum=0, maximum=3600, below=60, above=3600
    )
    metrics: Metrics = setting(Metrics(), "Figures for monitoring, at /metrics.", active=True)
    log_format: str = setting("text", "Lines of the log: text or json.", active=True, words=LOG_FORMATS)
    logging_to_file: bool = setting(False, "Write the log to files as well.", active=True)
    logs_max_total_size_mb: int = setting(
        100, "Oldest logs are deleted beyond this size in MB; 0: no limit.", active=True, minimum=0, below=0
    )
    error_log: bool = setting(False, "Log requests that failed in full, each in a file.", active=True)
    error_logs_max_files: int = setting(
        10, "Logs of failed requests to keep; 0: all.", active=True, minimum=0, below=10
    )
    request_log: bool = setting(False, "Log every request in full, each in a file.", active=True)
    commercial_mode: bool = setting(False, "Never log requests in full, whatever else is set.", active=True)

    @property
    def asks_for_keys(self) -> bool:
        """Whether clients must send a key. One that is switched off or has expired keeps the door closed."""
        return bool(self.api_keys or self.client_keys)


IGNORED_KEYS: Final = frozenset(
    {
        "antigravity",
        "claude-api-key.cloak",
        "claude-api-key.experimental-cch-signing",
        "claude-code",
        "claude-header-defaults.stabilize-device-profile",
        "codex.disable-codex-cloaking",
        "codex.identity-confuse",
        "codex-api-key.identity-confuse",
        "disable-claude-cloak-mode",
        "experimental-cch-signing",
        "fingerprint-profile",
        "kiro",
        "kiro-fingerprint",
        "kiro-preferred-endpoint",
        "stabilize-device-profile",
    }
)
"""Keys that other servers of this kind know and this one never will; passed over without a word. List indexes
left out."""

NOT_BUILT: Final[Mapping[str, str]] = {
    "ampcode": "Amp is not served",
    "codex.live-media-relay": "the live media relay is not built",
    "credential-concurrency": "cluster mode is not built",
    "credential-in-flight": "cluster mode is not built",
    "force-gpt-5-codex": "models are never replaced",
    "home": "cluster mode is not built",
    "plugins": "plug-ins are not built",
    "pprof": "this server has no such profiler",
}
"""Keys without effect here, each with the reason that is shown."""

NOT_ACTIVE: Final = "not active yet: accepted and without effect"


def inactive_keys(config: Config, lines: Mapping[str, int] | None = None) -> tuple[Problem, ...]:
    """Report the keys that are set and that the program does not act on yet. ``lines`` says where keys stand.

    A key counts as set when its value differs from the default.
    """
    where = lines or {}
    return tuple(Problem(NOT_ACTIVE, path, where.get(path), fatal=False) for path in _inactive(config, ""))


def _inactive(value: object, path: str) -> Iterator[str]:
    """Yield the paths below a value that differ from their defaults and are not active."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _inactive(item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inactive(item, f"{path}.{name}")
    elif is_section(kind := type(value)):
        for declared in keys_of(kind).values():
            inner = getattr(value, declared.attribute)
            if inner == declared.default:
                continue
            below = f"{path}.{declared.name}" if path else declared.name
            if declared.info.active or is_section(type(inner)):
                yield from _inactive(inner, below)
            else:
                yield below
