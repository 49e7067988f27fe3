"""The fixed sub-sections of the configuration: ``tls``, ``limits``, ``routing``, …"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from cliproxy.config.entries import PayloadFilter, PayloadRule
from cliproxy.config.keys import setting
from cliproxy.wire.secret import Secret

ROUND_ROBIN: Final = "round-robin"
FILL_FIRST: Final = "fill-first"
WEIGHTED_ROUND_ROBIN: Final = "weighted-round-robin"
LEAST_BUSY: Final = "least-busy"
STRATEGIES: Final[Mapping[str, str]] = {
    ROUND_ROBIN: ROUND_ROBIN,
    "roundrobin": ROUND_ROBIN,
    "rr": ROUND_ROBIN,
    "": ROUND_ROBIN,
    FILL_FIRST: FILL_FIRST,
    "fillfirst": FILL_FIRST,
    "ff": FILL_FIRST,
    WEIGHTED_ROUND_ROBIN: WEIGHTED_ROUND_ROBIN,
    "weightedroundrobin": WEIGHTED_ROUND_ROBIN,
    "wrr": WEIGHTED_ROUND_ROBIN,
    LEAST_BUSY: LEAST_BUSY,
    "leastbusy": LEAST_BUSY,
}


@frozen(kw_only=True)
class Tls:
    """HTTPS towards clients."""

    enable: bool = setting(False, "Serve HTTPS; both files are then needed.", active=True)
    cert: str = setting("", "Certificate chain, a PEM file.", active=True)
    key: str = setting("", "Private key, a PEM file.", active=True)


@frozen(kw_only=True)
class Limits:
    """Bounds on what clients and upstreams may send."""

    body_mb: int = setting(64, "Largest request body in MB, after decompression.", active=True, minimum=1)
    header_kb: int = setting(64, "Largest block of request headers in KB.", active=True, minimum=1)
    header_count: int = setting(256, "Most headers of a request.", active=True, minimum=16, below=16)
    connections: int = setting(
        4096, "Open connections of clients; 0: no limit.", active=True, minimum=0, below=0
    )
    concurrent_requests: int = setting(
        1000, "Requests at the same time; 0: no limit.", active=True, minimum=0, below=0
    )
    concurrent_requests_per_key: int = setting(
        0, "Requests at the same time with one client key; 0: no limit.", active=True, minimum=0, below=0
    )
    answer_mb: int = setting(64, "Largest non-streamed answer of an upstream in MB.", active=True, minimum=1)
    event_mb: int = setting(16, "Largest single event of an upstream's stream in MB.", active=True, minimum=1)
    websocket_message_mb: int = setting(16, "Largest websocket message in MB.", active=True, minimum=1)
    transcript_mb: int = setting(32, "Largest conversation kept for one websocket in MB.", minimum=1)


@frozen(kw_only=True)
class Timeouts:
    """How long is waited; all in seconds."""

    header_seconds: float = setting(30.0, "For the headers of a request.", active=True, minimum=1)
    body_seconds: float = setting(60.0, "For the body of a request.", active=True, minimum=1)
    keep_alive_seconds: float = setting(
        75.0, "For the next request on an open connection.", active=True, minimum=1
    )
    connect_seconds: float = setting(10.0, "For a connection to an upstream.", active=True, minimum=1)
    first_byte_seconds: float = setting(300.0, "For an upstream's answer to begin.", active=True, minimum=1)
    idle_seconds: float = setting(
        300.0, "For the next piece of an upstream's answer.", active=True, minimum=1
    )
    total_seconds: float = setting(
        0.0, "For a whole upstream answer; 0: no limit.", active=True, minimum=0, below=0
    )
    request_seconds: float = setting(
        0.0,
        "For a client's answer to begin, over all accounts and waits; 0: no limit.",
        active=True,
        minimum=0,
        below=0,
    )
    drain_seconds: float = setting(
        30.0, "For open requests to end when the server stops.", active=True, minimum=0, below=0
    )


@frozen(kw_only=True)
class Streaming:
    """Streamed answers."""

    keepalive_seconds: int = setting(
        15,
        "Silence in a stream after which a sign of life is sent; 0: none.",
        active=True,
        minimum=0,
        below=0,
    )
    bootstrap_retries: int = setting(
        0,
        "Further tries of a stream that fails before its first byte; 0: none.",
        active=True,
        minimum=0,
        below=0,
    )


@frozen(kw_only=True)
class Routing:
    """Which credential serves a request."""

    strategy: str = setting(
        ROUND_ROBIN,
        "round-robin, weighted-round-robin, fill-first or least-busy.",
        active=True,
        words=STRATEGIES,
        other=ROUND_ROBIN,
    )
    session_affinity: bool = setting(
        True, "Keep a conversation on one credential where the upstream caches prompts.", active=True
    )
    session_affinity_ttl: str = setting(
        "1h", "How long a conversation is remembered after its last request, such as 30m or 1h.", active=True
    )
    max_concurrent: int = setting(
        0,
        "Requests that a credential may have under way at the same time; 0: any number.",
        active=True,
        minimum=0,
        below=0,
    )


@frozen(kw_only=True)
class QuotaExceeded:
    """What to try when a quota is used up."""

    switch_project: bool = setting(True, "Go on with another project of the account.", active=True)
    switch_preview_model: bool = setting(
        True, "Go on with a preview model of the same rank, if the account has one.", active=True
    )
    antigravity_credits: bool = setting(True, "Go on with paid credits (Antigravity).")


LOG_FORMATS: Final[Mapping[str, str]] = {"text": "text", "json": "json"}


@frozen(kw_only=True)
class Metrics:
    """Figures for monitoring at /metrics, in Prometheus' text format."""

    enable: bool = setting(
        True, "Serve them, to programs on this machine and to holders of a client key.", active=True
    )


@frozen(kw_only=True)
class RemoteManagement:
    """The management interface."""

    allow_remote: bool = setting(False, "Allow management from other machines.")
    secret_key: Secret = setting(
        Secret(""), "Management key; plain text is replaced by its hash. Empty: no management."
    )
    disable_control_panel: bool = setting(False, "Do not serve the control panel.")
    panel_github_repository: str = setting("", "Where an external control panel comes from.")
    disable_auto_update_panel: bool = setting(False, "Do not look for newer panels.")


@frozen(kw_only=True)
class Database:
    """The database of usage, pauses and counters."""

    path: str = setting(
        "", "The file; empty: state/cliproxy.db in auth-dir. A change needs a restart.", active=True
    )
    retention_days: int = setting(
        90,
        "Days that single requests are kept; 0: without end. Hourly sums always stay.",
        active=True,
        minimum=0,
        below=0,
    )
    retention_rows: int = setting(
        1_000_000, "Single requests that are kept; 0: any number.", active=True, minimum=0, below=0
    )


@frozen(kw_only=True)
class CodexHeaderDefaults:
    """Header values for Codex accounts when the client sends none."""

    user_agent: str = setting("", "User-Agent.")
    beta_features: str = setting("", "Beta features, websockets only.")


@frozen(kw_only=True)
class ClaudeHeaderDefaults:
    """Header values for Claude accounts when the client sends none."""

    user_agent: str = setting("", "User-Agent.")
    package_version: str = setting("", "Version of the client package.")
    runtime_version: str = setting("", "Version of the client's runtime.")
    timeout: str = setting("", "Time-out the client announces, in seconds.")


@frozen(kw_only=True)
class CodexOptions:
    """Codex upstreams."""

    stream_bootstrap_buffering: bool = setting(
        False,
        "Accepted. A stream's opening is always held back until something is generated, for every upstream.",
        active=True,
    )
    optimize_multi_agent_v2: bool = setting(False, "Prepare requests for several agents at work.")


@frozen(kw_only=True)
class XaiOptions:
    """xAI upstreams."""

    inject_x_search: bool = setting(False, "Offer the upstream's own search to every request.")


@frozen(kw_only=True)
class Payload:
    """Changes to requests on their way to the upstream, in this order."""

    default: tuple[PayloadRule, ...] = setting(
        (), "Values for paths that the request does not have.", active=True, example={}
    )
    default_raw: tuple[PayloadRule, ...] = setting(
        (), "The same, values written as JSON text.", active=True, example={}
    )
    override: tuple[PayloadRule, ...] = setting(
        (), "Values that replace those of the request.", active=True, example={}
    )
    override_raw: tuple[PayloadRule, ...] = setting(
        (), "The same, values written as JSON text.", active=True, example={}
    )
    filter: tuple[PayloadFilter, ...] = setting((), "Paths that are removed.", active=True, example={})
