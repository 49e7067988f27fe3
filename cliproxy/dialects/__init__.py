"""Dialects: the API shapes spoken on the wire, one room each, listed explicitly.

``DIALECTS`` is the list everything else is derived from: routes, error shapes, model lists, keep-alive,
translation.
"""

from typing import Final

from cliproxy.dialects.antigravity import DIALECT as ANTIGRAVITY
from cliproxy.dialects.base import Dialect
from cliproxy.dialects.claude import DIALECT as CLAUDE
from cliproxy.dialects.codex import DIALECT as CODEX
from cliproxy.dialects.completions import DIALECT as COMPLETIONS
from cliproxy.dialects.gemini import DIALECT as GEMINI
from cliproxy.dialects.gemini_cli import DIALECT as GEMINI_CLI
from cliproxy.dialects.gitlab_rest import DIALECTS as GITLAB_REST
from cliproxy.dialects.openai_chat import DIALECT as OPENAI
from cliproxy.dialects.openai_images import DIALECT as OPENAI_IMAGES
from cliproxy.dialects.openai_responses import DIALECT as OPENAI_RESPONSES
from cliproxy.dialects.xai import DIALECT as XAI

__all__ = ["DIALECTS", "Dialect", "by_id"]

DIALECTS: Final[tuple[Dialect, ...]] = (
    OPENAI,
    COMPLETIONS,
    OPENAI_RESPONSES,
    CLAUDE,
    GEMINI,
    GEMINI_CLI,
    ANTIGRAVITY,
    CODEX,
    XAI,
    OPENAI_IMAGES,
    *GITLAB_REST,
)

_BY_ID: Final = {dialect.id: dialect for dialect in DIALECTS}


def by_id(dialect_id: str) -> Dialect:
    """Return a dialect. Raises ``KeyError`` for an id nobody declared, which is a programmer's mistake."""
    return _BY_ID[dialect_id]
