"""The configuration file: its keys, reading it with located messages, and changing it without losing a
comment.

Text goes in and values come out; files are the business of the stores.
"""

__all__ = [
    "clean",
    "clientkeys",
    "data",
    "edit",
    "entries",
    "environment",
    "example",
    "groups",
    "keys",
    "legacy",
    "load",
    "model",
    "nodes",
    "normalize",
    "read",
    "render",
    "sections",
    "splice",
]
