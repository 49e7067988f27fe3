"""A proxy server that answers OpenAI, Claude and Gemini clients from the owner's accounts."""

__all__ = ["__version__"]

__version__ = "0.1.0"
