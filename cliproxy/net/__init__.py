"""The only room that opens sockets towards upstreams."""

__all__ = ["browser", "callback", "direct", "faults", "http", "memory", "rest"]
