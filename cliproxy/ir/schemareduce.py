"""Rewrite a JSON Schema with the keywords a target has, keeping in words what it cannot have.

Theory of operation. A schema is walked by its structure, never by key names alone: inside ``properties`` the
keys are names, so a property called ``format`` or ``enum`` is untouched. Each node goes through the same
steps, children before the choice among branches, so that a parent only ever sees finished children:

1. *flatten*: references are written out (siblings of a ``$ref`` win), ``allOf``, ``then`` and ``else`` are
   merged into the node. A reference that leads back into itself, or that would make the schema grow without
   end, becomes a stub which names it;
2. *children* are reduced;
3. *unions* are kept or replaced by the branch that says most;
4. *values*: ``const`` and ``enum``, then the types, then nullability;
5. *words*: what a keyword said and cannot say any more is appended to the description as a hint;
6. *removal* of everything the profile does not keep, and of required names without a property.

Nothing disappears silently: every keyword that was removed or reworded is named in :attr:`Reducer.notes`.
"""

import re
from typing import Final, assert_never
from urllib.parse import unquote

from attrs import evolve, field, frozen

from cliproxy.ir.schemaprofile import HINTED, TYPES, UNIONS, VOCABULARY, Profile
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, dumps_text, items, text

MAX_DEPTH: Final = 64
MAX_NODES: Final = 20_000
"""When a schema has grown to this, references are no longer written out."""

PLACEHOLDER_REASON: Final = "reason"
PLACEHOLDER_TEXT: Final = "Brief explanation of why you are calling this tool"
PLACEHOLDER_FLAG: Final = "_"
_FLAG: Final[JsonObject] = {"type": "boolean"}

_FEW: Final = 10
"""More allowed values than this are not listed in words."""
_SCORES: Final = {"object": 3, "array": 2, "null": 0}
_OTHER_SCORE: Final = 1
_ACCEPTS_NULL: Final = re.compile(r"Accepts: (?:\w+ \| )*null\b")
"""A hint that already tells that null is allowed."""


@frozen
class _Place:
    """Where a node stands."""

    depth: int = 0
    refs: frozenset[str] = frozenset()
    """References being written out around it."""
    is_property: bool = False

    def inside(self, refs: frozenset[str], *, is_property: bool = False) -> "_Place":
        return evolve(self, depth=self.depth + 1, refs=refs, is_property=is_property)


@frozen
class _Reduced:
    schema: JsonObject = field(factory=dict)
    nullable: bool = False
    """Null was allowed and the target cannot say so."""


class Reducer:
    """Reduces one schema document to a profile."""

    def __init__(self, profile: Profile, document: JsonObject) -> None:
        assert profile.keeps is not None
        self._profile = profile
        self._takes = profile.takes
        self._has_tuples = "prefixItems" in profile.keeps
        self._document = document
        self._nodes = 0
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """The keywords that did not survive as they were, in the order in which they were met."""
        return tuple(self._notes)

    def reduce(self) -> JsonObject:
        """Return the reduced document; to be called once."""
        return self._node(self._document, _Place(refs=frozenset({"#"}))).schema

    def _node(self, raw: JsonValue, place: _Place) -> _Reduced:
        self._nodes += 1
        if not isinstance(raw, dict):
            if raw is not True:
                self._note("a schema that is no object")
            return _Reduced()
        if place.depth > MAX_DEPTH:
            self._note("deep nesting")
            return _Reduced(_stub(raw, ""))
        body, refs = self._flattened(raw, place.refs)
        if adopt_stray_properties(body):
            self._note("properties outside of `properties`")
        self._reduce_children(body, place, refs)
        self._reduce_unions(body, place.inside(refs))
        self._reduce_values(body)
        nullable = self._reduce_types(body)
        self._say(body, nullable=nullable and place.is_property)
        self._complete(body, place)
        self._remove(body)
        return _Reduced(body, nullable)

    def _note(self, what: str) -> None:
        self._notes[what] = None

    # --- flatten -----------------------------------------------------------------------------------------

    def _flattened(self, raw: JsonObject, refs: frozenset[str]) -> tuple[JsonObject, frozenset[str]]:
        body, refs = self._resolved(dict(raw), refs)
        branches = items(body, "allOf")
        if body.pop("allOf", None) is not None:
            self._note("allOf")
        for branch in branches:
            self._nodes += 1
            if isinstance(branch, dict):
                flat, inner = self._flattened(branch, refs)
                refs |= inner
                _merge(body, flat)
        for keyword in ("then", "else"):
            merged = {**child(child(body, keyword), "properties"), **child(body, "properties")}
            if merged:
                body["properties"] = merged
        for keyword in ("if", "then", "else"):
            if body.pop(keyword, None) is not None:
                self._note(keyword)
        return body, refs

    def _resolved(self, body: JsonObject, refs: frozenset[str]) -> tuple[JsonObject, frozenset[str]]:
        while "$ref" in body:
            ref = body.pop("$ref")
            if not isinstance(ref, str):
                continue
            self._note("$ref")
            target = find(self._document, ref)
            name = unquote(ref.rpartition("/")[2]) or ref
            if target is None or ref in refs or self._nodes > MAX_NODES:
                return _stub({**(target or {}), **body}, f"See: {name}"), refs
            self._nodes += len(target)
            refs |= {ref}
            body = {**target, **body}
        return body, refs

    # --- children ----------------------------------------------------------------------------------------

    def _reduce_children(self, body: JsonObject, place: _Place, refs: frozenset[str]) -> None:
        if "properties" in body:
            self._reduce_properties(body, place.inside(refs, is_property=True))
        inside = place.inside(refs)
        self._reduce_items(body, inside)
        extra = body.get("additionalProperties")
        if isinstance(extra, dict) and self._takes("additionalProperties", extra):
            body["additionalProperties"] = self._node(extra, inside).schema

    def _reduce_properties(self, body: JsonObject, place: _Place) -> None:
        properties = child(body, "properties")
        required = [name for name in items(body, "required") if isinstance(name, str)]
        reduced: JsonObject = {}
        for name, raw in properties.items():
            if isinstance(raw, dict) and raw.get("required") is True and name not in required:
                required.append(name)
            result = self._node(raw, place)
            if result.nullable and name in required:
                required.remove(name)
            reduced[name] = result.schema
        body["properties"] = reduced
        body["required"] = list[JsonValue](required)

    def _reduce_items(self, body: JsonObject, place: _Place) -> None:
        """Reduce ``items``. In older drafts it holds what ``prefixItems`` does in newer ones."""
        entries = body.pop("items", None)
        by_position = entries if entries and isinstance(entries, list) else items(body, "prefixItems")
        if by_position and self._has_tuples:
            body["prefixItems"] = [self._node(entry, place).schema for entry in by_position]
        elif by_position:
            self._note("prefixItems")
        if isinstance(entries, list) or entries is None:
            entries = by_position[0] if by_position and not self._has_tuples else None
        if entries is not None and entries is not False:
            body["items"] = self._node(entries, place).schema

    # --- unions ------------------------------------------------------------------------------------------

    def _reduce_unions(self, body: JsonObject, place: _Place) -> None:
        for keyword in UNIONS:
            if keyword not in body:
                continue
            raw = items(body, keyword)
            branches = [self._branch(branch, place) for branch in raw if isinstance(branch, dict)]
            del body[keyword]
            if len(branches) == 1:
                _merge(body, branches[0].schema, joins_descriptions=True)
            elif branches and self._profile.unions == "best":
                self._note(keyword)
                self._take_best(body, branches)
            elif branches and "anyOf" not in body:
                # Branches of a oneOf exclude one another by being different, so anyOf says the same.
                body["anyOf"] = [branch.schema for branch in branches]
            else:
                self._note(keyword)

    def _branch(self, raw: JsonObject, place: _Place) -> _Reduced:
        if _types_of(raw) == ["null"] and self._profile.types != "list":
            return _Reduced({"type": "null"})  # what the choice among the branches sees of it
        return self._node(raw, place)

    def _take_best(self, body: JsonObject, branches: list[_Reduced]) -> None:
        names: dict[str, None] = {}
        for branch in branches:
            nullable = branch.nullable or branch.schema.get("nullable") is True
            names |= dict.fromkeys([*_types_of(branch.schema), *(["null"] if nullable else [])])
        best = max((branch.schema for branch in branches), key=_score)
        if "properties" in body and not best.get("properties"):
            return  # the branches only say which of the node's own properties go together
        if _types_of(body) and not _types_of(best):
            return  # the branches only narrow the node's own type
        _merge(body, best, joins_descriptions=True, newer_wins=True)
        if len(names) > 1:
            _hint(body, "Accepts: " + " | ".join(names))
            if "null" in names:
                body["nullable"] = True

    # --- values ------------------------------------------------------------------------------------------

    def _reduce_values(self, body: JsonObject) -> None:
        if "const" in body:
            self._note("const")
            body.setdefault("enum", [body["const"]])
            del body["const"]
        if "enum" not in body:
            return
        given = items(body, "enum")
        if None in given or "null" in _types_of(body):
            body["nullable"] = True
        # An empty string is refused as an allowed value.
        values: list[JsonValue] = [value for value in given if value is not None and value != ""]
        if given and all(value is None for value in given):
            body.setdefault("type", "null")
        match self._profile.enums:
            case "text":
                self._enum_as_text(body, values)
            case "typed":
                self._enum_as_is(body, values)
            case "none":
                self._enum_in_words(body, values)
            case _:
                assert_never(self._profile.enums)

    def _enum_as_text(self, body: JsonObject, values: list[JsonValue]) -> None:
        words = list(dict.fromkeys(_word(value) for value in values))
        if not words:
            del body["enum"]
            return
        if any(not isinstance(value, str) for value in values):
            self._note("enum")
        body |= {"enum": list[JsonValue](words), "type": "string"}
        if 1 < len(words) <= _FEW:
            _hint(body, "Allowed: " + ", ".join(words))

    def _enum_as_is(self, body: JsonObject, values: list[JsonValue]) -> None:
        plain = values and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in values)
        if not plain:
            self._enum_in_words(body, values)
            return
        body["enum"] = values
        if not _types_of(body):
            body["type"] = list[JsonValue](_types_of_values(values))

    def _enum_in_words(self, body: JsonObject, values: list[JsonValue]) -> None:
        self._note("enum")
        del body["enum"]
        if not _types_of(body) and values:
            body["type"] = list[JsonValue](_types_of_values(values))
        if 0 < len(values) <= _FEW:
            _hint(body, "Allowed: " + ", ".join(_word(value) for value in values))

    def _reduce_types(self, body: JsonObject) -> bool:
        """Settle the types; tell whether null is allowed in a target that cannot say so."""
        names = _types_of(body)
        nullable = "null" in names or body.pop("nullable", None) is True
        concrete = [name for name in names if name != "null"]
        if not concrete:
            concrete = _implied_types(body)
        if "type" in body and not names:
            self._note("type")
        body.pop("type", None)
        if self._profile.types == "list":
            named = [*concrete, "null"] if nullable and concrete else concrete
            named = named or (["null"] if names else [])
            if named:
                body["type"] = named[0] if len(named) == 1 else list[JsonValue](named)
            return False
        if not concrete and not nullable:
            return False
        body["type"] = concrete[0] if concrete else "string"
        if len(concrete) > 1:
            self._note("type")
            _hint(body, "Accepts: " + " | ".join(concrete))
        if self._profile.types == "nullable":
            if nullable:
                body["nullable"] = True
            return False
        return nullable

    # --- words, completion, removal ----------------------------------------------------------------------

    def _say(self, body: JsonObject, *, nullable: bool) -> None:
        if body.get("additionalProperties") is False and not self._takes("additionalProperties", False):
            _hint(body, "No extra properties allowed")
        for keyword in HINTED:
            value = body.get(keyword)
            said = isinstance(value, str | int | float)
            if said and not self._takes(keyword, value):
                _hint(body, f"{keyword}: {_word(value)}")
        if "not" in body and self._profile.placeholders:
            _hint(body, f"not: {dumps_text(body['not'])}")
        if nullable:
            self._note("nullable")
            if not _ACCEPTS_NULL.search(text(body, "description")):
                _hint(body, "(nullable)")

    def _complete(self, body: JsonObject, place: _Place) -> None:
        kind = body.get("type")
        if kind == "array" and self._profile.fills_arrays and "items" not in body:
            body["items"] = {"type": "string"}
        if kind != "object":
            return
        if self._profile.closes_objects:
            if body.get("additionalProperties", False) is not False:
                self._note("additionalProperties")
            body["additionalProperties"] = False
        if self._profile.placeholders:
            _add_placeholder(body, at_root=place.depth == 0)

    def _remove(self, body: JsonObject) -> None:
        if not self._profile.placeholders:
            _drop_placeholders(body)
        for keyword in list(body):
            if not self._takes(keyword, body[keyword]):
                del body[keyword]
                self._note(keyword)
        names = child(body, "properties")
        required = [name for name in items(body, "required") if isinstance(name, str) and name in names]
        body.pop("required", None)
        if required:
            body["required"] = list[JsonValue](dict.fromkeys(required))


def find(document: JsonObject, ref: str) -> JsonObject | None:
    """Return what a reference within a document points to; ``None`` when that is no schema object."""
    if not ref.startswith("#"):
        return None
    node: JsonValue = document
    for step in unquote(ref[1:]).split("/")[1:] if ref != "#" else []:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    if ref != "#" and not ref.startswith("#/"):
        return None
    return node if isinstance(node, dict) else None


def adopt_stray_properties(schema: JsonObject) -> bool:
    """Move properties that stand beside ``type`` into ``properties``; tell whether there were any."""
    if "properties" in schema or text(schema, "type", "object").lower() != "object":
        return False
    if any(keyword in schema for keyword in (*UNIONS, "items", "enum", "const")):
        return False
    strays = {key: value for key, value in schema.items() if _looks_like_property(key, value)}
    for key in strays:
        del schema[key]
    if strays:
        schema |= {"type": "object", "properties": strays}
    return bool(strays)


def _stub(target: JsonObject, hint: str) -> JsonObject:
    """Keep what a schema is, without what is inside it."""
    names = _types_of(target) or ["object"]
    stub: JsonObject = {"type": names[0] if len(names) == 1 else list[JsonValue](names)}
    for keyword in ("nullable", "description"):
        if keyword in target:
            stub[keyword] = target[keyword]
    if hint:
        _hint(stub, hint)
    return stub


def _merge(
    body: JsonObject, branch: JsonObject, *, joins_descriptions: bool = False, newer_wins: bool = False
) -> None:
    """Take a branch of a combination into the node that holds it; properties of the branch win."""
    properties = {**child(body, "properties"), **child(branch, "properties")}
    required = [name for part in (body, branch) for name in items(part, "required") if isinstance(name, str)]
    said, more = text(body, "description"), text(branch, "description")
    for keyword, value in branch.items():
        if newer_wins or keyword not in body:
            body[keyword] = value
    if said:
        body["description"] = said
        if joins_descriptions and more:
            _hint(body, more)
    if "properties" in body:
        body["properties"] = properties
    if required:
        body["required"] = list[JsonValue](dict.fromkeys(required))


def _looks_like_property(key: str, value: JsonValue) -> bool:
    named = key not in VOCABULARY and not key.startswith(("x-", "$"))
    return named and isinstance(value, dict) and any(keyword in VOCABULARY for keyword in value)


def _types_of(schema: JsonObject) -> list[str]:
    """Return the type names a schema states, in lower case, unknown ones left out."""
    stated = schema.get("type")
    names = stated if isinstance(stated, list) else [stated]
    known = (name.lower() for name in names if isinstance(name, str))
    return list(dict.fromkeys(name for name in known if name in TYPES)) or _implied_types(schema)


def _implied_types(schema: JsonObject) -> list[str]:
    if isinstance(schema.get("properties"), dict):
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def _types_of_values(values: list[JsonValue]) -> list[str]:
    return list(dict.fromkeys(_type_of_value(value) for value in values))


def _type_of_value(value: JsonValue) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _score(branch: JsonObject) -> int:
    names = _types_of(branch)
    return max((_SCORES.get(name, _OTHER_SCORE) for name in names), default=0)


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps_text(value)


def _hint(schema: JsonObject, hint: str) -> None:
    """Append something to the description, once."""
    description = text(schema, "description")
    if hint in description:
        return
    if description:
        bracketed = hint if hint.startswith("(") and hint.endswith(")") else f"({hint})"
        schema["description"] = f"{description} {bracketed}"
    else:
        schema["description"] = hint


def _add_placeholder(schema: JsonObject, *, at_root: bool) -> None:
    """Give an object a required property: a model in strict mode calls a tool without any in vain."""
    if not child(schema, "properties"):
        schema["properties"] = {PLACEHOLDER_REASON: {"type": "string", "description": PLACEHOLDER_TEXT}}
        schema["required"] = [PLACEHOLDER_REASON]
    elif not at_root and not _required_names(schema):
        schema["properties"] = {**child(schema, "properties"), PLACEHOLDER_FLAG: {**_FLAG}}
        schema["required"] = [PLACEHOLDER_FLAG]


def _required_names(schema: JsonObject) -> list[JsonValue]:
    properties = child(schema, "properties")
    return [name for name in items(schema, "required") if isinstance(name, str) and name in properties]


def _drop_placeholders(schema: JsonObject) -> None:
    """Take out what :func:`_add_placeholder` put in, for a target that needs none."""
    properties = child(schema, "properties")
    kept = {name: value for name, value in properties.items() if (name, value) != (PLACEHOLDER_FLAG, _FLAG)}
    if list(kept) == [PLACEHOLDER_REASON]:
        reason = kept[PLACEHOLDER_REASON]
        if isinstance(reason, dict) and text(reason, "description") == PLACEHOLDER_TEXT:
            kept = {}
    if len(kept) != len(properties):
        schema["properties"] = kept
