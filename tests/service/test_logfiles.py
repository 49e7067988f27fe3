"""The log's files follow the configuration."""

import io
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cliproxy.config.model import Config
from cliproxy.net.http import Upstreams
from cliproxy.observe.output import Output, configure
from cliproxy.service.logfiles import LogFiles, log_files, places_of
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.file import FileStore
from support.logs import restored

logger = logging.getLogger("cliproxy.x")
ON = Config(logging_to_file=True, logs_max_total_size_mb=7)


@pytest.fixture
def output() -> Iterator[Output]:
    with restored():
        yield configure(debug=False, stream=io.StringIO())


def service(config: Config) -> Service:
    return Service(
        snapshots=Snapshots({}, config, ()),
        upstreams=Upstreams(),
        tokens=None,  # type: ignore[arg-type]  # nobody here asks for a token
        rng=random.Random(1),
    )


def test_places_are_tried_in_order(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "config.yaml", tmp_path / "auth")
    rest = [tmp_path / "logs", tmp_path / "auth" / "logs"]
    assert list(places_of({}, store)) == rest
    assert list(places_of({"WRITABLE_PATH": "/data"}, store)) == [Path("/data/logs"), *rest]


async def test_lines_go_to_a_file_while_the_owner_wants_it(tmp_path: Path, output: Output) -> None:
    subject = service(ON)
    store = FileStore(tmp_path / "config.yaml", tmp_path / "auth")
    async with log_files(subject, store) as files:
        logger.info("first")
        [tell] = subject.on_config
        tell(Config())
        logger.info("second")
        tell(ON)
        logger.info("third")
        assert files.folder is not None
        assert files.folder.most_bytes == 7 * 1024 * 1024
        assert {family.name for source in subject.figures for family in source()} == {
            "cliproxy_log_lines_lost",
            "cliproxy_log_requests_skipped",
            "cliproxy_log_waiting_bytes",
        }
    logger.info("after the end")
    lines = (tmp_path / "logs" / "main.log").read_text().splitlines()
    said = [line.rpartition("] ")[2] for line in lines]
    assert [each for each in said if "written to" not in each] == ["first", "third"]


async def test_a_server_that_writes_no_files_makes_no_directory(tmp_path: Path, output: Output) -> None:
    async with log_files(service(Config()), FileStore(tmp_path / "c.yaml", tmp_path / "auth")):
        logger.info("x")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="files in place of directories")
async def test_the_next_place_is_used_where_one_cannot_be(
    tmp_path: Path, output: Output, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    bad = tmp_path / "file" / "logs"
    files = LogFiles(service(ON), (bad, tmp_path / "good"), output)
    files.apply(ON)
    assert files.folder is not None
    assert files.folder.path == tmp_path / "good"
    await files.aclose()
    nowhere = LogFiles(service(ON), (bad,), output)
    nowhere.apply(ON)
    await nowhere.aclose()
    assert any("no log files are written" in line for line in output.tail.since())
