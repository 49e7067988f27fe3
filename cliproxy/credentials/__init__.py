"""Credentials: the value, the files of the auth directory, and the entries of the configuration."""

__all__ = ["files", "model", "naming", "synthesis", "times"]
