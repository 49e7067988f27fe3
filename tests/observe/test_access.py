"""The access line keeps its shape and hides keys."""

import pytest

from cliproxy.observe.access import access_line, latency, masked_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models?key=sk-abc&x=1", "/v1/models?key=***&x=1"),
        ("/x?a=1&auth_token=abc", "/x?a=1&auth_token=***"),
        ("/cb?CODE=abc&State=def", "/cb?CODE=***&State=***"),
        ("/v1/models?%6bey=sk-abc&=", "/v1/models?%6bey=***&="),
        ("/x?monkey=1", "/x?monkey=1"),
        ("/x?key", "/x?key"),
    ],
)
def test_keys_in_queries_are_masked(path: str, shown: str) -> None:
    assert masked_path(path) == shown


def test_the_shape() -> None:
    line = access_line(200, 1.234, "127.0.0.1", "POST", "/v1/messages?key=abc")
    assert line == '200 |        1.23s |       127.0.0.1 | POST    "/v1/messages?key=***"'


@pytest.mark.parametrize(
    ("client", "shown"), [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1")]
)
def test_a_client_is_shown_by_the_address_it_has(client: str, shown: str) -> None:
    assert access_line(200, 0.0, client, "GET", "/").split("|")[2].strip() == shown


def test_short_times_are_in_milliseconds() -> None:
    assert latency(0.0123) == "12.3ms"
