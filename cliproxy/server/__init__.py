"""The HTTP surface: thin handlers around the exchange. One Quart-Trio application."""

__all__ = ["app"]
