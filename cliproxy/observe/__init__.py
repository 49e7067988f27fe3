"""Logging: what is written, in which shape, and what is never written."""

__all__ = [
    "access",
    "folder",
    "lines",
    "logfile",
    "logs",
    "metrics",
    "output",
    "passage",
    "tail",
    "transcript",
    "writer",
]
