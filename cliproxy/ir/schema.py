"""JSON Schemas of tools and structured answers, fitted to what the target takes.

Clients describe tools in all of JSON Schema; no upstream takes all of it, and each refuses the whole
request over a keyword it does not know. :func:`clean_schemas` is the pass that makes the schemas of a request
fit; the targets are data (:data:`~cliproxy.ir.schemaprofile.PROFILES`). Two kinds of work are done for them:

* most targets get a *reduced* schema: only keywords they have, everything else said in words in the
  descriptions (:mod:`cliproxy.ir.schemareduce`);
* others take JSON Schema as it is and only want it *in shape*.

The schema of a tool's arguments describes an object, whatever the target: its root gets ``type: object`` and
``properties``, and a union at the root, which several vendors refuse, is merged into one object. Fitting
twice gives the same as fitting once.
"""

from typing import Final

from attrs import evolve, frozen

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, OutputFormat, Tool, ToolKind
from cliproxy.ir.schemaprofile import PROFILES, TYPES, Profile, replaced
from cliproxy.ir.schemareduce import (
    PLACEHOLDER_FLAG,
    PLACEHOLDER_REASON,
    Reducer,
    adopt_stray_properties,
    find,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, items

NO_ARGUMENTS: Final[JsonObject] = {"type": "object", "properties": {}}
"""The schema of a tool that says nothing of its arguments, where one must be given."""
FREE_TEXT: Final[JsonObject] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
"""What a tool that takes free text is declared with where tools take objects."""

_ROOT_COMBINATIONS: Final = ("allOf", "anyOf", "oneOf")
_NOT_AT_THE_ROOT: Final = ("enum", "const", "not", "nullable")
"""Say nothing sensible about arguments; some vendors refuse them there."""
_MAX_ROOT_BRANCHES: Final = 100
_WHOLE_NUMBERS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


@frozen
class Fitted:
    """A schema as the target takes it, and the keywords that did not survive as they were."""

    schema: JsonObject
    notes: tuple[str, ...] = ()


def clean_schemas(request: IRRequest, profile: str, ctx: ExchangeContext) -> IRRequest:
    """Fit every schema of a request to a profile. An empty profile takes schemas as they are."""
    if not profile:
        return request
    tools = [_clean_tool(tool, profile, ctx) for tool in request.tools]
    return evolve(request, tools=tools, output=_clean_output(request.output, profile, ctx))


def _clean_tool(tool: Tool, profile: str, ctx: ExchangeContext) -> Tool:
    if tool.kind is not ToolKind.FUNCTION:
        return tool
    fitted = fit_arguments(tool.schema, profile)
    _note(fitted, "tools", ctx)
    return evolve(tool, schema=fitted.schema)


def _clean_output(output: OutputFormat | None, profile: str, ctx: ExchangeContext) -> OutputFormat | None:
    if output is None or output.schema is None:
        return output
    fitted = fit_output(output.schema, profile)
    _note(fitted, "the output format", ctx)
    return evolve(output, schema=fitted.schema)


def _note(fitted: Fitted, where: str, ctx: ExchangeContext) -> None:
    for keyword in fitted.notes:
        ctx.note(f"schema of {where}: {keyword} is not carried as it is")


def fit_arguments(schema: JsonValue, profile: str) -> Fitted:
    """Fit the schema of a tool's arguments. What is no schema becomes that of an empty object."""
    if not isinstance(schema, dict):
        return _fit({"type": "object", "properties": {}}, PROFILES[profile])
    merger = _RootMerger(schema)
    root = merger.merged(schema)
    for keyword in _NOT_AT_THE_ROOT:
        if root.pop(keyword, None) is not None:
            merger.notes[f"{keyword} at the root"] = None
    if _lower(root.get("type", "object")) != "object":
        merger.notes["type at the root"] = None
    root["type"] = "object"
    if not adopt_stray_properties(root) and not isinstance(root.get("properties"), dict):
        root["properties"] = {}
    fitted = _fit(root, PROFILES[profile])
    result = fitted.schema
    if "properties" not in result:
        result = {**result, "properties": {}}
    return Fitted(result, tuple(dict.fromkeys([*merger.notes, *fitted.notes])))


def fit_output(schema: JsonObject, profile: str) -> Fitted:
    """Fit the schema of a structured answer; its root may be of any type."""
    chosen = PROFILES[profile]
    return _fit(schema, PROFILES[chosen.output] if chosen.output else chosen)


def _fit(schema: JsonObject, profile: Profile) -> Fitted:
    if profile.keeps is not None:
        reducer = Reducer(profile, schema)
        return Fitted(reducer.reduce(), reducer.notes)
    dropped = tuple(keyword for keyword in profile.drops if keyword in schema)
    return Fitted(_in_shape(schema, profile), dropped)


def _in_shape(schema: JsonObject, profile: Profile) -> JsonObject:
    """Return a schema with types in lower case and, if the profile wants them, ``properties`` of objects."""
    result = replaced(schema, lambda inner: _in_shape(inner, profile))
    for keyword in profile.drops:
        result.pop(keyword, None)
    if "type" in result:
        result["type"] = _lower(result["type"])
    if profile.fills_objects and result.get("type") == "object":
        result.setdefault("properties", {})
    return result


def _lower(stated: JsonValue) -> JsonValue:
    """Return a type in lower case. Gemini's own spelling is upper case."""
    if isinstance(stated, list):
        return [_lower(name) for name in stated]
    return stated.lower() if isinstance(stated, str) and stated.lower() in TYPES else stated


class _RootMerger:
    """Makes the root of a schema describe an object: references resolved, unions merged, type stated.

    Properties that stand at the root win. A union's branches are alternatives, so none of their properties is
    required; every branch of ``allOf`` holds, so theirs are.
    """

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._branches_left = _MAX_ROOT_BRANCHES
        self.notes: dict[str, None] = {}

    def merged(self, schema: JsonObject) -> JsonObject:
        """Return one object out of a root and its branches; a type that is no object stays for the caller."""
        root = self._resolved(schema)
        for keyword in _ROOT_COMBINATIONS:
            if keyword not in root:
                continue
            self.notes[f"{keyword} at the root"] = None
            for branch in items(root, keyword):
                if isinstance(branch, dict) and self._branches_left > 0:
                    self._branches_left -= 1
                    _absorb(root, self.merged(branch), takes_required=keyword == "allOf")
            del root[keyword]
        return root

    def _resolved(self, schema: JsonObject) -> JsonObject:
        root = dict(schema)
        seen: set[str] = set()
        while isinstance(ref := root.get("$ref"), str):
            target = find(self._document, ref)
            if target is None or ref in seen:
                return root
            seen.add(ref)
            del root["$ref"]
            root = {**target, **root}
        return root


def _absorb(root: JsonObject, branch: JsonObject, *, takes_required: bool) -> None:
    kinds = _lower(branch.get("type", "object"))
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        return
    properties = {**child(branch, "properties"), **child(root, "properties")}
    if properties:
        root["properties"] = properties
    if takes_required:
        names = [name for part in (root, branch) for name in items(part, "required") if isinstance(name, str)]
        root["required"] = list[JsonValue](dict.fromkeys(names))


def from_openapi(schema: JsonObject) -> JsonObject:
    """Translate the OpenAPI subset of Gemini's ``parameters`` and ``responseSchema`` to JSON Schema.

    Types come in upper case, whole numbers may be written as strings (the JSON form of 64-bit protocol buffer
    fields), and null is allowed by ``nullable``.
    """
    result = replaced(schema, from_openapi)
    if "type" in result:
        result["type"] = _lower(result["type"])
    if result.get("type") == "type_unspecified" or result.get("type") == "TYPE_UNSPECIFIED":
        del result["type"]
    for keyword in _WHOLE_NUMBERS:
        value = result.get(keyword)
        if isinstance(value, str) and value.isdecimal():
            result[keyword] = int(value)
    if result.get("nullable") is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    if "type" in result:
        result.pop("nullable", None)
    return result


def without_placeholders(arguments: JsonObject, schema: JsonObject | None) -> JsonObject:
    """Take out of a call's arguments what only the placeholders of a strict target asked for.

    Inside the arguments, ``reason`` is one only where it stands alone in an object of which the schema says
    nothing: an object that has properties never got it, and in one that takes any it may be the client's.
    """
    declared = child(schema or {}, "properties")
    return {
        name: _without_flags(value, declared.get(name))
        for name, value in arguments.items()
        if name in declared or name not in {PLACEHOLDER_FLAG, PLACEHOLDER_REASON}
    }


def _without_flags(value: JsonValue, schema: JsonValue) -> JsonValue:
    """Take placeholders out of a value, as deep as its schema tells where they were put."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list):
        return [_without_flags(entry, schema.get("items")) for entry in value]
    if not isinstance(value, dict):
        return value
    declared = child(schema, "properties")
    if not declared:
        return {} if list(value) == [PLACEHOLDER_REASON] and _lower(schema.get("type")) == "object" else value
    return {
        name: _without_flags(inner, declared.get(name))
        for name, inner in value.items()
        if name in declared or name != PLACEHOLDER_FLAG
    }
