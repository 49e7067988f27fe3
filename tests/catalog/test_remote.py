"""A newer catalogue: two forms are read, whatever else they contain; facts are corrected, nothing is lost."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.remote import MAX_BYTES, MAX_MODELS, CatalogueError, read, renewed
from cliproxy.catalog.static import Catalogue
from cliproxy.credentials.model import ModelEntry
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps
from support.routes import credential

OWN: JsonObject = {
    "as_of": "2030-01-01",
    "sections": {
        "claude": {
            "owned_by": "anthropic",
            "family": "claude",
            "input": ["text", "image"],
            "output": ["text"],
            "models": [
                {"id": "known", "name": "Known", "context": 9, "thinking": {"min": 1, "max": 2}},
                {"id": "brand-new", "name": "Brand New", "context": 5, "max_output": 6, "created": 7},
            ],
        }
    },
}
FOREIGN: JsonObject = {
    "claude": [
        {
            "id": "known",
            "object": "model",
            "owned_by": "anthropic",
            "display_name": "Known",
            "context_length": 9,
            "max_completion_tokens": 8,
            "thinking": {"min": 1024, "max": 32000, "zero_allowed": True},
        }
    ],
    "gemini": [
        {
            "id": "g",
            "name": "models/g",
            "displayName": "x",
            "inputTokenLimit": 5,
            "outputTokenLimit": 6,
            "supportedInputModalities": ["TEXT", "IMAGE"],
        }
    ],
    "codex-free": [{"id": "small"}],
    "codex-pro": [{"id": "small"}, {"id": "large", "thinking": {"levels": ["low", "high"]}}],
    "xai": [{"id": "unheard-of"}],
    "version": 3,
}


def catalogue(document: JsonObject) -> Catalogue:
    return read(dumps(document))


def names(models: tuple[ModelInfo, ...]) -> list[str]:
    return [model.id for model in models]


def test_the_form_of_the_bundled_one() -> None:
    found = catalogue(OWN)
    assert found.as_of == "2030-01-01"
    assert len(found) == 2
    _, new = found.models("claude")
    assert (new.display_name, new.context_tokens, new.output_tokens, new.created) == ("Brand New", 5, 6, 7)
    assert new.input_modalities == ("text", "image")


def test_the_form_of_others() -> None:
    found = catalogue(FOREIGN)
    (known,) = found.models("claude")
    assert (known.display_name, known.context_tokens, known.output_tokens) == ("Known", 9, 8)
    assert known.thinking == ThinkingSupport(min_budget=1024, max_budget=32000, zero_allowed=True)
    (google,) = found.models("gemini")
    assert (google.display_name, google.context_tokens, google.output_tokens) == ("g", 5, 6)
    assert google.input_modalities == ("text", "image")
    assert names(found.models("codex", "free")) == ["small"]
    assert names(found.models("codex", "pro")) == ["small", "large"]
    assert names(found.models("codex", "plus")) == []
    assert names(found.models("codex")) == ["small", "large"]


def test_the_bundled_one_could_come_from_elsewhere() -> None:
    found = read(static.files("cliproxy.catalog").joinpath("models.json").read_bytes())
    for section in static.sections():
        plain = [evolve(each, contracts=()) for each in static.models(section)]
        assert [evolve(each, contracts=()) for each in found.models(section)] == plain


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"sections": {}}',
        b'{"sections": {"claude": {"models": []}}}',
        b'{"sections": {"claude": {"models": [{"id": 7}, "x", {"id": "a b"}]}}}',
        b'{"claude": {"id": "x"}}',
        b'{"claude": []}',
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_catalogue(raw: bytes) -> None:
    with pytest.raises(CatalogueError):
        read(raw)


def test_what_cannot_be_understood_is_passed_over() -> None:
    odd: JsonObject = {
        "sections": {
            "claude": {
                "family": "nobody's",
                "models": [
                    {"id": "a", "context": -1, "max_output": "many", "thinking": [], "input": "text"},
                    {"id": "a", "context": 5},
                    {"id": "x" * 1000},
                    None,
                ],
            },
            "odd": 7,
        }
    }
    (found,) = catalogue(odd).models("claude")
    assert (found.id, found.context_tokens, found.output_tokens) == ("a", None, None)


def test_so_many_models_and_no_more() -> None:
    many: JsonObject = {"claude": [{"id": f"m{number}"} for number in range(MAX_MODELS + 5)]}
    assert len(catalogue(many)) == MAX_MODELS


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "models", "thinking", "name", "levels", "plans"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["sections", "claude", "codex-pro", "as_of"]), JSON))
def test_any_document_is_read_or_refused(document: dict[str, JsonValue]) -> None:
    try:
        found = catalogue(document)
    except CatalogueError:
        return
    assert len(found) > 0


# --- what follows ---

BUNDLED = (
    ModelInfo(id="known", display_name="Old", context_tokens=1, output_tokens=2, thinking=ThinkingSupport()),
    ModelInfo(id="retired"),
)
ME = credential(provider="claude")


def test_facts_replace_the_bundled_ones_and_models_are_added() -> None:
    first, retired, new = renewed(BUNDLED, catalogue(OWN), ME, "", is_static=True)
    assert (first.display_name, first.context_tokens, first.output_tokens) == ("Known", 9, 2)
    assert first.thinking == ThinkingSupport(min_budget=1, max_budget=2)
    assert retired == BUNDLED[1]
    assert new.id == "brand-new"


def test_a_plan_gets_its_own_models_only() -> None:
    mine = credential(provider="codex")
    assert names(renewed((), catalogue(FOREIGN), mine, "free", is_static=True)) == ["small"]


def test_of_what_an_upstream_has_said_only_gaps_are_filled() -> None:
    said = (ModelInfo(id="brand-new", context_tokens=1), ModelInfo(id="other"))
    first, other = renewed(said, catalogue(OWN), credential(provider="gitlab"), "", is_static=False)
    assert (first.context_tokens, first.output_tokens, first.display_name) == (1, 6, "Brand New")
    assert other == said[1]


def test_the_list_of_an_owner_stays_his() -> None:
    mine = credential(provider="claude", models=(ModelEntry(name="brand-new"),))
    (found,) = renewed((ModelInfo(id="brand-new"),), catalogue(OWN), mine, "", is_static=True)
    assert found.context_tokens == 5


def test_a_section_that_is_not_there_changes_nothing() -> None:
    other = credential(provider="kimi")
    assert renewed(BUNDLED, catalogue(OWN), other, "", is_static=True) == BUNDLED
