"""Providers: the upstream families, one record each, listed explicitly.

``PROVIDERS`` is the list everything else is derived from: logins, credential files, configuration lists,
contracts, models.
"""

from typing import Final

from cliproxy.providers.antigravity import PROVIDER as ANTIGRAVITY
from cliproxy.providers.base import Provider
from cliproxy.providers.claude import PROVIDER as CLAUDE
from cliproxy.providers.codex import PROVIDER as CODEX
from cliproxy.providers.copilot import PROVIDER as COPILOT
from cliproxy.providers.demo import PROVIDER as DEMO
from cliproxy.providers.gemini import PROVIDER as GEMINI
from cliproxy.providers.gemini_cli import PROVIDER as GEMINI_CLI
from cliproxy.providers.gitlab import PROVIDER as GITLAB
from cliproxy.providers.iflow import PROVIDER as IFLOW
from cliproxy.providers.kimi import PROVIDER as KIMI
from cliproxy.providers.openai_compat import PROVIDER as OPENAI_COMPATIBILITY
from cliproxy.providers.qwen import PROVIDER as QWEN
from cliproxy.providers.vertex import PROVIDER as VERTEX
from cliproxy.providers.xai import PROVIDER as XAI

__all__ = ["PROVIDERS", "Provider"]

PROVIDERS: Final[tuple[Provider, ...]] = (
    GITLAB,
    CLAUDE,
    CODEX,
    GEMINI,
    VERTEX,
    GEMINI_CLI,
    ANTIGRAVITY,
    QWEN,
    IFLOW,
    KIMI,
    XAI,
    COPILOT,
    OPENAI_COMPATIBILITY,
    DEMO,
)
