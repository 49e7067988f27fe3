"""Where configuration and credential files live. The only rooms that read and write them."""

__all__ = ["atomic", "base", "file", "locks", "retention", "rows", "schema", "snapshot", "state", "usage"]
