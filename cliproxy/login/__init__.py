"""Logins and renewals as conversations: flows that say what they need next, and pure decisions about tokens."""

__all__ = ["code", "freshness", "pkce", "rates", "steps"]
