"""Filling in the middle: a client's text completion request as a request for a code suggestion.

The request is the one of ``/v1/completions`` with a ``suffix``: ``prompt`` is what stands above the cursor,
``suffix`` what stands below. What an editor knows besides goes into further members of the body or, for
clients that cannot add any, into headers:

=====================  =================================  ===============================================
member                 header                             meaning
=====================  =================================  ===============================================
``file_name``          ``x-file-name``                    name of the file; decides the language
``project_path``       ``x-project-path``                 ``group/project`` the file belongs to; default:
                                                          the account's setting of that name
``intent``             ``x-intent``                       ``completion`` (default) or ``generation``
``generation_type``    ``x-generation-type``              ``comment``, ``empty_function``, ``small_file``
``user_instruction``   ``x-user-instruction``             what the owner wants, in words
``context``            –                                  list of ``{type, name, content}``
=====================  =================================  ===============================================

The answer is a text completion already; the ``gitlab-suggestions`` dialect reads it, streamed or whole.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import JsonObject, JsonValue, flag, objects, text

FILE_NAME: Final = "untitled.txt"
INTENTS: Final = frozenset({"completion", "generation"})
GENERATION_TYPES: Final = frozenset({"comment", "empty_function", "small_file"})
CONTEXT_TYPES: Final = frozenset({"file", "snippet"})
_OPTIONAL: Final = ("project_path", "generation_type", "user_instruction")
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {"intent": INTENTS, "generation_type": GENERATION_TYPES}


def suggestion_of(body: JsonObject, headers: Mapping[str, str], project: str = "") -> JsonObject:
    """Return the request for a code suggestion; ``project`` is the one to name when the client names none.

    Raises :class:`~cliproxy.errors.BadRequest`, naming the field.
    """
    wish: JsonObject = {
        "current_file": {
            "file_name": _given(body, headers, "file_name") or FILE_NAME,
            "content_above_cursor": _prompt(body),
            "content_below_cursor": text(body, "suffix"),
        },
        "intent": _given(body, headers, "intent") or "completion",
        "stream": bool(flag(body, "stream")),
    }
    wishes = {name: _given(body, headers, name) for name in _OPTIONAL}
    wishes["project_path"] = wishes["project_path"] or project
    wish |= {name: value for name, value in wishes.items() if value}
    context = _context(body)
    if context:
        wish["context"] = context
    return wish


def _prompt(body: JsonObject) -> str:
    """Return the text above the cursor; a list of one text is that text."""
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("prompt must be one text to fill in after", param="prompt")
    if not prompt and not text(body, "suffix"):
        raise BadRequest("prompt and suffix are both empty", param="prompt")
    return prompt


def _given(body: JsonObject, headers: Mapping[str, str], name: str) -> str:
    value = (text(body, name) or headers.get(f"x-{name.replace('_', '-')}", "")).strip()
    allowed = _ALLOWED.get(name)
    if value and allowed is not None and value not in allowed:
        raise BadRequest(f"{name} must be one of {', '.join(sorted(allowed))}", param=name)
    return value


def _context(body: JsonObject) -> list[JsonValue]:
    found: list[JsonValue] = []
    for item in objects(body, "context"):
        kind, name, content = text(item, "type", "snippet"), text(item, "name"), text(item, "content")
        if kind not in CONTEXT_TYPES or not name or not content:
            raise BadRequest("each context needs type (file or snippet), name and content", param="context")
        found.append({"type": kind, "name": name, "content": content})
    given = body.get("context")
    if given is not None and (not isinstance(given, list) or len(found) != len(given)):
        raise BadRequest("context must be a list of objects", param="context")
    return found
