"""The running process: the owner of the root nursery and of everything that outlives a request."""

__all__ = [
    "ask",
    "changes",
    "clientkeys",
    "clients",
    "connection",
    "discovery",
    "exchangelog",
    "imports",
    "listen",
    "logins",
    "metrics",
    "readiness",
    "refresh",
    "reload",
    "run",
    "service",
    "snapshots",
    "state",
    "supervise",
    "tokens",
]
