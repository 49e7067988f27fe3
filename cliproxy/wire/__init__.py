"""Byte formats: server-sent events, HTTP values, JSON text, secrets. Knows nothing about language models."""

__all__ = ["compression", "http", "jsontext", "secret", "sse"]
