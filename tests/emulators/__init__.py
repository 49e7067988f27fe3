"""Strict stand-ins for the services the proxy talks to, run as separate processes over real sockets.

`python -m emulators.openai --port 0` prints one line `{"port": N}` and serves until its standard input
closes or it is interrupted. Each emulator refuses what its vendor refuses, answers in the vendor's exact
event grammar, and plays faults on demand through its `/__control` paths. README.md lists the vocabulary.
Nothing here imports the proxy: a misunderstanding of an API must not be able to hide on both sides of a
test.
"""

__all__: list[str] = []
