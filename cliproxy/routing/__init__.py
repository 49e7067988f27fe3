"""Pure routing decisions: who could serve a request, who should, what a failure means, how long to wait."""

__all__ = ["classify", "cooldown", "resolve", "select"]
