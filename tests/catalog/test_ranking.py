"""What ``auto`` means."""

import pytest

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.ranking import rank


def best(*models: ModelInfo) -> str:
    return min(models, key=lambda model: rank(model.id, model, 0)).id


def model(name: str, **facts: object) -> ModelInfo:
    return ModelInfo(id=name, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (model("b", created=1), model("a", output_modalities=("image",), created=2)),
        (model("b", created=1), model("a", output_modalities=("embedding",), created=2)),
        (model("b", created=1), model("a", demo=True, created=2)),
        (model("b", created=1), model("x-2-mini", created=2)),
        (model("b", created=1), model("Flash-a", created=2)),
        (model("b", created=2), model("a", created=1)),
        (model("b", created=1), model("a")),
        (model("b", context_tokens=2), model("a", context_tokens=1)),
        (model("b", context_tokens=2), model("a")),
        (model("b"), model("a/b")),
        (model("a"), model("b")),
        (model("gemini-x"), model("gemini-x-flash")),
    ],
)
def test_the_order(first: ModelInfo, second: ModelInfo) -> None:
    assert best(first, second) == best(second, first) == first.id


def test_a_word_inside_another_does_not_make_a_model_small() -> None:
    assert rank("gemini-x", model("gemini-x"), 0)[3] is False


def test_the_owners_preference_goes_before_age() -> None:
    assert rank("a", model("a", created=1), 5) < rank("b", model("b", created=9), 4)


def test_age_is_looked_up_where_the_upstream_does_not_tell_it() -> None:
    assert best(model("claude-opus-4.6"), model("claude-opus-4.5"), model("aaa")) == "claude-opus-4.6"
