"""Models: what is known about them, and which credential serves which one now."""

__all__ = ["allowance", "facts", "index", "model", "offers", "prices", "ranking", "registry", "static"]
