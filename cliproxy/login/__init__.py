"""Logins and renewals as conversations: flows say what they need next; decisions about tokens are pure."""

__all__ = ["account", "agenda", "clients", "code", "device", "freshness", "pkce", "rates", "steps"]
