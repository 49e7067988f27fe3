"""One client request from its parsed body to its last byte: plan, attempts, pump, record."""

__all__ = [
    "answer",
    "attempts",
    "carry",
    "cause",
    "deps",
    "ending",
    "health",
    "overheard",
    "patience",
    "plan",
    "pump",
    "record",
    "ways",
]
