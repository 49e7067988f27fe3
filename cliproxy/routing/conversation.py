"""Telling which requests belong to one conversation.

Clients with a notion of it say so: in headers, in members of the body, in ids of their own making. The
first source of the tables below that has something to say counts. Where none has, it is told by what all
requests of a conversation begin with: the instructions, and what the user said before the model said
anything. Those words are also the prefix that an upstream would recognise, so a coincidence costs nothing.

Ids are only compared, so nothing but a digest of them is kept, and clients with different keys never meet.
``X-Client-Request-Id`` is no source although one agent writes its conversation there: the official packages
use it for single requests, and that agent says the same in ``session-id``.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cliproxy.routing.affinity import Mark
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, loads_object, text

MAX_ID: Final = 256
OPENING: Final = 4096
"""Characters of each text that tell conversations apart by their beginnings."""
DIGEST_BYTES: Final = 16

_HEADERS: Final = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "conversation_id",
    "x-session-id",
    "x-session-affinity",
)
_SESSION_SUFFIX: Final = re.compile(r"_session_([0-9a-fA-F-]+)$")
_INSTRUCTIONS: Final = ("system", "instructions", "systemInstruction", "system_instruction")
_HISTORIES: Final = ("messages", "input", "contents")
_MODEL_ROLES: Final = frozenset({"assistant", "model"})
_MESSAGE: Final = "message"


def conversation_mark(client: str, model: str, headers: Mapping[str, str], body: JsonObject) -> Mark | None:
    """Return what stands for a conversation of a client about a model; ``None`` when nothing tells."""
    name = _named(headers, body) or _beginning(body)
    if not name:
        return None
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (client, model, name):
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return digest.digest()


# --- said by the client ---


def _named(headers: Mapping[str, str], body: JsonObject) -> str:
    """Return the client's own name of the conversation, with its kind."""
    for header in _HEADERS:
        if value := _clean(headers.get(header, "")):
            return f"header:{value}"
    for kind, read in _MEMBERS.items():
        if value := _clean(read(body)):
            return f"{kind}:{value}"
    return ""


def _clean(value: str) -> str:
    """Return an id without blanks around it; nothing for what cannot be one."""
    found = value.strip()
    return found if found.isprintable() and len(found) <= MAX_ID else ""


def _session_of_user(body: JsonObject) -> str:
    """Read the session that a coding agent puts into the id of its user: JSON, or the end of a name."""
    user = text(child(body, "metadata"), "user_id")
    if user.lstrip().startswith("{"):
        try:
            return text(loads_object(user.encode("utf-8", "surrogatepass")), "session_id")
        except JsonError:
            return ""
    found = _SESSION_SUFFIX.search(user)
    return found[1] if found else ""


def _session(body: JsonObject) -> str:
    """Read a session id, also one inside an envelope."""
    for place in (body, child(body, "request")):
        if value := text(place, "session_id") or text(place, "sessionId"):
            return value
    return ""


def _stored_conversation(body: JsonObject) -> str:
    return text(body, "conversation") or text(child(body, "conversation"), "id")


_MEMBERS: Final[Mapping[str, Callable[[JsonObject], str]]] = {
    "session of user": _session_of_user,
    "session": _session,
    "cache key": lambda body: text(body, "prompt_cache_key"),
    "conversation": _stored_conversation,
    "user": lambda body: text(child(body, "metadata"), "user_id"),
    "conversation id": lambda body: text(body, "conversation_id"),
}
"""Kind of id → where it stands, the most telling first."""


# --- told by the beginning ---


def _beginning(body: JsonObject) -> str:
    """Return what all requests of a conversation begin with; nothing when the user has said nothing."""
    inner = body if any(name in body for name in _HISTORIES) else child(body, "request")
    history = next((inner[name] for name in _HISTORIES if inner.get(name)), None)
    said = "\n".join(_before_the_answer(history))
    if not said:
        return ""
    instructions = [piece for name in _INSTRUCTIONS for piece in _texts(inner.get(name))]
    return "beginning:" + "\n".join(["".join(instructions)[:OPENING], said])


def _before_the_answer(history: JsonValue) -> Iterator[str]:
    """Yield the texts of a history up to the first that is the model's."""
    for item in history if isinstance(history, list) else [history]:
        if isinstance(item, dict) and _is_of_model(item):
            return
        if words := "".join(_texts(item))[:OPENING]:
            yield words


def _is_of_model(item: JsonObject) -> bool:
    """Items without a role, such as calls and reasoning, are the model's as well."""
    role = text(item, "role")
    return role in _MODEL_ROLES or (not role and text(item, "type") not in ("", _MESSAGE))


def _texts(value: JsonValue) -> Iterator[str]:
    """Yield the texts of a message, in whatever shape: a string, blocks, parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name in ("text", "content", "parts"):
            yield from _texts(value.get(name))
