"""The hub: typed requests, responses and stream events that every dialect is decoded to and encoded from."""

__all__ = ["collect", "context", "events", "request", "response", "rules"]
