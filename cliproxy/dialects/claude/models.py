"""Model lists in the Claude shape: ``GET /v1/models`` with an ``anthropic-version`` header or from Claude
Code.

Contract: Anthropic API reference, "List models": ``{"data": [{"id", "type", "display_name", "created_at"}],
"has_more", "first_id", "last_id"}``, times as RFC 3339.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cliproxy.dialects.base import ListedModel, ModelLists
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.wire.jsontext import JsonObject


def claims(headers: Mapping[str, str], _query: Mapping[str, str]) -> bool:
    """Tell a Claude client by the version header it must send, or by its name."""
    return "anthropic-version" in headers or headers.get("user-agent", "").startswith("claude-cli")


def encode_one(model: ListedModel) -> JsonObject:
    """Render one model."""
    rendered: JsonObject = {
        "type": "model",
        "object": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "owned_by": model.owned_by,
    }
    if model.context_tokens is not None:
        rendered["max_input_tokens"] = model.context_tokens
    if model.output_tokens is not None:
        rendered["max_tokens"] = model.output_tokens
    if model.thinking is not None:
        rendered |= {"thinking": model.thinking.can_think, "extended_thinking": _extended(model.thinking)}
    return rendered


def _extended(support: ThinkingSupport) -> JsonObject:
    """Say how much a model can be asked to think."""
    if not support.can_think:
        return {"supported": False}
    budgets: JsonObject = {"min": support.min_budget or 0, "max": support.max_budget or 0}
    return {
        "supported": True,
        **(budgets if support.has_budgets else {}),
        "zero_allowed": support.can_stop,
        "dynamic_allowed": support.can_decide,
    }


def encode_list(models: Sequence[ListedModel]) -> JsonObject:
    """Render the list; there is never a second page."""
    return {
        "data": [encode_one(model) for model in models],
        "has_more": False,
        "first_id": models[0].id if models else None,
        "last_id": models[-1].id if models else None,
    }


MODEL_LISTS = ModelLists(paths=("/v1/models",), claims=claims, encode_list=encode_list, encode_one=encode_one)
