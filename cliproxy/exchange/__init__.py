"""One client request from its parsed body to its last byte: plan, attempts, pump, record."""

__all__ = [
    "answer",
    "attempts",
    "carry",
    "deps",
    "ending",
    "health",
    "patience",
    "plan",
    "pump",
    "record",
    "ways",
]
