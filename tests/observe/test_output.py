"""Where the log goes."""

import io
import logging
from collections.abc import Iterator

import pytest

from cliproxy.observe.output import configure, installed, set_debug
from support.logs import restored


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with restored():
        configure(debug=False, stream=stream)
        yield stream


def test_debug_lines_need_debug(output: io.StringIO) -> None:
    logging.getLogger("cliproxy.x").debug("quiet")
    assert output.getvalue() == ""
    configure(debug=True, stream=output)
    logging.getLogger("cliproxy.x").debug("loud")
    assert "loud" in output.getvalue()


def test_more_can_be_said_and_less_again(output: io.StringIO) -> None:
    log = logging.getLogger("cliproxy.x")
    set_debug(debug=True)
    log.debug("first")
    set_debug(debug=False)
    log.debug("second")
    assert "first" in output.getvalue()
    assert "second" not in output.getvalue()


def test_the_last_lines_are_kept(output: io.StringIO) -> None:
    log = logging.getLogger("cliproxy.x")
    log.info("first")
    log.info("second")
    found = installed()
    assert found is not None
    assert [line.rpartition(" ")[2] for line in found.tail.since()] == ["first", "second"]


def test_a_file_gets_whole_lines(output: io.StringIO) -> None:
    found, lines = installed(), list[str]()
    assert found is not None
    found.file = lines.append
    logging.getLogger("cliproxy.x").info("once")
    assert lines == [output.getvalue()]
    assert lines[0].endswith("once\n")


def test_another_form_is_used_from_then_on(output: io.StringIO) -> None:
    found = installed()
    assert found is not None
    logging.getLogger("cliproxy.x").info("once")
    found.use_form("json")
    logging.getLogger("cliproxy.x").info("twice")
    first, second = output.getvalue().splitlines()
    assert first.startswith("[")
    assert second.startswith("{")


def test_a_stream_that_is_gone_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = io.StringIO()
    with restored():
        found = configure(debug=False, stream=stream)
        stream.close()
        logging.getLogger("cliproxy.x").info("unheard")
        assert found.tail.count == 1


def test_without_a_set_up_there_is_none() -> None:
    with restored():
        logging.getLogger().handlers.clear()
        assert installed() is None
