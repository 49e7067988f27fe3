"""The running process: the owner of the root nursery and of everything that outlives a request."""

__all__ = [
    "ask",
    "clients",
    "connection",
    "discovery",
    "imports",
    "listen",
    "logins",
    "refresh",
    "run",
    "service",
    "snapshots",
    "state",
    "tokens",
]
