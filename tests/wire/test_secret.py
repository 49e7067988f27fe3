"""A secret shows itself nowhere."""

import logging
import pickle

import pytest

from cliproxy.wire.secret import MASK, Secret


@pytest.mark.parametrize(
    "render", [str, repr, "{}".format, "{:>10}".format, lambda s: f"{s!r}", "%s".__mod__]
)
def test_every_rendering_is_masked(render: object) -> None:
    assert "hunter2" not in render(Secret("hunter2"))  # type: ignore[operator]


def test_containers_and_logs_show_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("key=%s all=%s", Secret("hunter2"), [Secret("hunter2")])
    assert "hunter2" not in caplog.text
    assert MASK in caplog.text


def test_the_text_comes_out_by_name_only() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_are_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))


def test_equality_is_by_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_hint_is_given_only_for_long_secrets() -> None:
    assert Secret("short").hint() == MASK
    assert Secret("glpat-0123456789abcd").hint() == "***abcd"


def test_truth_is_being_set() -> None:
    assert not Secret("")
    assert Secret("x")
