"""What is never in the log: secrets, and lines that somebody outside has made up.

The redactor masks whatever looks like a key or token, in case a library or an upstream's error text brings
one along; our own code never logs one.
"""

import re
from contextvars import ContextVar
from typing import Final

from cliproxy.wire.secret import MASK

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Short id of the request a task works for."""

NO_REQUEST: Final = "--------"
LONGEST: Final = 8 * 1024
"""Characters of a message."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TOKENS: Final = re.compile(
    r"""(?x)
    # First of all, as it takes whatever the others take, and more.
    (?<=[Bb]earer\ )[A-Za-z0-9_\-.=+/]{8,}
    # All of these take a word to its end: three words with dots between them are looked for at its beginning.
    | (?<![A-Za-z0-9])(?:
        (?:sk|pk|rk)-[A-Za-z0-9_\-]{12,}
      | glpat-[A-Za-z0-9_\-.]{10,} | gloas-[A-Za-z0-9_\-.]{10,} | glrt-[A-Za-z0-9_\-.]{10,}
      | AIza[A-Za-z0-9_\-]{20,}
      | ya29\.[A-Za-z0-9_\-.]{10,}
      | gh[opsu]_[A-Za-z0-9]{20,}[A-Za-z0-9_\-.]*
    )
    # Three words with dots between them. Whether there are dots is found out once for each word, as somebody
    # may send a text that is nothing but beginnings.
    | (?<![A-Za-z0-9_\-])(?=[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]{10,}\.)
      [A-Za-z0-9_\-]*?(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*
    """
)
_SIGNS: Final = ("eyJ", "earer ")
_BEGINNINGS: Final = (
    *("sk-", "pk-", "rk-", "glpat-", "gloas-", "glrt-", "AIza", "ya29."),
    *("gho_", "ghp_", "ghs_", "ghu_"),
)
"""Either one of the signs is in a text that has something to be masked, or a token begins like this."""


def redacted(text: str) -> str:
    """Mask everything that looks like a secret. To be done before anything is escaped: the letter that ends
    an escape would make one word of itself and what follows."""
    for sign in _SIGNS:
        if sign in text:
            return TOKENS.sub(MASK, text)
    for beginning in _BEGINNINGS:
        if beginning in text and _begins_token(text, beginning):
            return TOKENS.sub(MASK, text)
    return text


def _begins_token(text: str, beginning: str) -> bool:
    """Whether a token begins like this. Masked keys do as well, and looking for words is much faster than
    looking for tokens."""
    at = text.find(beginning)
    while at >= 0:
        if TOKENS.match(text, at):
            return True
        at = text.find(beginning, at + 1)
    return False


def one_line(text: str) -> str:
    """Return a text as a piece of a single line."""
    # What can be printed has no control characters, and is found out about in a hundredth of the time.
    shown = text if text.isprintable() else _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}… ({len(shown)} characters)"
