"""Logging: what is written, in which shape, and what is never written."""

__all__ = ["access", "lines", "logs", "metrics", "output", "tail"]
