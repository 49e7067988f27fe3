"""Models: what is known about them, and which credential serves which one now."""

__all__ = ["facts", "model", "prices", "registry", "static"]
