"""Timing commands: what the server costs compared with the barest relay that the same libraries allow.

``python -m benchmarks relay|memory|startup|all``. Nothing here is a test and nothing judges a change by
itself: times depend on the machine and on who else is using it. README.md says how to read the numbers.

Everything that is measured runs in processes of its own, so that the processor time of each is known, and
nothing of the package is imported: the package is judged from outside, like any server.
"""

__all__ = ["bare_relay", "dialects", "load", "memory", "processes", "relay", "report", "startup", "upstream"]
