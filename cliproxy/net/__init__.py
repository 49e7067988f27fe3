"""The only room that opens sockets towards upstreams."""

__all__ = ["http", "memory"]
