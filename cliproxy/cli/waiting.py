"""What a terminal shows while its owner enters a code elsewhere: the address as a picture, the time left.

Both are for terminals only. A pipe or a log gets the plain lines of :mod:`cliproxy.cli.prompts`.
"""

import io
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

import segno
import trio
from attrs import define, field

WIDEST_PICTURE: Final = 57
"""Columns; a wider picture would be broken by an ordinary terminal."""
_SIGNS: Final = "|/-\\"
_CLEAR: Final = "\r\x1b[K"


def picture(url: str) -> str:
    """Return an address as a QR code for a telephone's camera; empty when it would be too large."""
    try:
        code = segno.make(url, error="l", boost_error=False)
    except ValueError:
        return ""
    if code.symbol_size(border=2)[0] > WIDEST_PICTURE:
        return ""
    drawn = io.StringIO()
    code.terminal(drawn, border=2, compact=True)
    return drawn.getvalue()


@define(eq=False)
class Countdown:
    """One line of a terminal that says how long the vendor will still wait. The nursery given owns it."""

    nursery: trio.Nursery
    write: Callable[[str], object]
    """Writes to the terminal at once."""
    _scope: trio.CancelScope | None = field(default=None, init=False)

    def start(self, seconds: float) -> None:
        """Begin to count; what was counted before ends."""
        self.stop()
        self._scope = trio.CancelScope()
        self.nursery.start_soon(
            self._run, self._scope, trio.current_time() + seconds, name="login: countdown"
        )

    def stop(self) -> None:
        """Take the line away, before something else is written. May be called at any time."""
        if self._scope is not None:
            self._scope.cancel(reason="the wait is over")
            self._scope = None
            self.write(_CLEAR)

    async def _run(self, scope: trio.CancelScope, end: float) -> None:
        with scope:
            signs: Iterator[str] = cycle(_SIGNS)
            while (left := end - trio.current_time()) > 0:
                self.write(
                    f"{_CLEAR}{next(signs)} Waiting for you there, {left // 60:.0f}:{left % 60:02.0f} left"
                )
                await trio.sleep(1)
