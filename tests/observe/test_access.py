"""The access line keeps its shape and hides keys."""

import logging

import pytest

from cliproxy.observe.access import access_line, latency, log_access, masked_path
from cliproxy.observe.lines import Facts

logger = logging.getLogger(__name__)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models?key=sk-abc&x=1", "/v1/models?key=***&x=1"),
        ("/x?a=1&auth_token=abc", "/x?a=1&auth_token=***"),
        ("/cb?CODE=abc&State=def", "/cb?CODE=***&State=***"),
        ("/v1/models?%6bey=sk-abc&=", "/v1/models?%6bey=***&="),
        (
            "/x?authorization=a&auth=b&X-Goog-Signature=c",
            "/x?authorization=***&auth=***&X-Goog-Signature=***",
        ),
        ("/x?monkey=1&author=2&signal=3", "/x?monkey=1&author=2&signal=3"),
        ("/x?key", "/x?key"),
        ("/x?api_key%5B%5D=a&X-Api-Key=b&myAPIKEY=c", "/x?api_key%5B%5D=***&X-Api-Key=***&myAPIKEY=***"),
        ("/x?client_secret=a&id_token=b&password=c", "/x?client_secret=***&id_token=***&password=***"),
    ],
)
def test_keys_in_queries_are_masked(path: str, shown: str) -> None:
    assert masked_path(path) == shown


def test_the_shape() -> None:
    line = access_line(200, 1.234, "127.0.0.1", "POST", "/v1/messages?a=b")
    assert line == '200 |        1.23s |       127.0.0.1 | POST    "/v1/messages?a=b"'


@pytest.mark.parametrize(
    ("client", "shown"), [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1")]
)
@pytest.mark.parametrize(
    ("status", "level"), [(200, logging.INFO), (404, logging.WARNING), (503, logging.ERROR)]
)
def test_a_finished_request_is_logged_as_what_it_was(
    client: str, shown: str, status: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log_access(logger, status, 0.5, client, ("GET", "/x?key=abc"))
    [record] = caplog.records
    assert record.levelno == level
    assert isinstance(record.msg, Facts)
    assert record.msg.values == {
        "status": status,
        "seconds": 0.5,
        "client": shown,
        "method": "GET",
        "path": "/x?key=***",
    }
    assert str(record.msg).split("|")[2].strip() == shown


def test_short_times_are_in_milliseconds() -> None:
    assert latency(0.0123) == "12.3ms"
