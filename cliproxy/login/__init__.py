"""Login and refresh conversations as generators that yield steps; they do no I/O themselves."""

__all__ = ["steps"]
