"""Accepted spellings of common settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.normalize import (
    delay_range_s,
    duration_s,
    end_of,
    is_hashed_secret,
    is_no_proxy,
    normal_headers,
    normal_patterns,
    normal_prefix,
    normal_url,
    proxy_problem,
    url_problem,
)


@pytest.mark.parametrize(
    ("text", "prefix"), [("team", "team"), (" /a/ ", "a"), ("a/b", ""), ("", ""), ("//", ""), ("/a/b/", "")]
)
def test_prefix(text, prefix):
    assert normal_prefix(text) == prefix


def test_headers_that_cannot_be_sent_are_left_out():
    headers = {
        " X-A ": " 1 ",
        "X-Empty": " ",
        "": "x",
        "Bad Name": "x",
        "X-Break": "a\r\nEvil: 1",
        "X-Nul": "a\0",
        "X-Tab": "a\tb",
    }
    assert normal_headers(headers) == {"X-A": "1", "X-Tab": "a\tb"}


@given(st.dictionaries(st.text(), st.text()))
def test_no_header_that_is_kept_can_end_early(headers):
    for name, value in normal_headers(headers).items():
        assert not set("\r\n\0") & set(name + value)
        assert normal_headers({name: value}) == {name: value}


def test_patterns_are_lower_case_unique_and_in_order():
    assert normal_patterns([" B* ", "a", "", "b*", "A"]) == ("b*", "a")


@pytest.mark.parametrize(
    ("text", "url"),
    [(" https://a/v1// ", "https://a/v1"), ("gitlab.example.com", "gitlab.example.com"), ("", "")],
)
def test_url(text, url):
    assert normal_url(text) == url


def test_a_missing_scheme_can_be_assumed():
    assert normal_url("gitlab.example.com/", assume_https=True) == "https://gitlab.example.com"
    assert normal_url("http://x", assume_https=True) == "http://x"
    assert normal_url("", assume_https=True) == ""


@pytest.mark.parametrize("url", ["https://a", "http://localhost:8080/v1", "https://[::1]:1/x"])
def test_good_urls(url):
    assert url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "a",
        "ftp://a",
        "https://",
        "https:///x",
        "https://a:port",
        "https://a b",
        "https://a/?q=1",
        "https://a/#f",
        "https://[::1",
        "https://a\n",
    ],
)
def test_bad_urls(url):
    assert url_problem(url)


@pytest.mark.parametrize(
    "url",
    ["", "direct", "NONE", "http://p:1", "https://u:pw@p", "socks5://p", "socks5h://p:1080", " http://p "],
)
def test_good_proxies(url):
    assert proxy_problem(url) is None


@pytest.mark.parametrize("url", ["p:3128", "ftp://p", "http://", "socks4://p", "http://p:x", "http://a b"])
def test_bad_proxies(url):
    assert proxy_problem(url)


def test_a_proxy_problem_never_shows_the_password():
    assert "hunter2" not in (proxy_problem("ftp://user:hunter2@p") or "")


@pytest.mark.parametrize("text", ["direct", " None "])
def test_words_against_any_proxy(text):
    assert is_no_proxy(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1d", 86400),
        ("90", 90),
        (" 1H ", 3600),
    ],
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-1s", "1h 30m", "\u0661s", "\u00b2"])
def test_what_is_no_duration(text):
    assert duration_s(text) is None


@pytest.mark.parametrize(("text", "pair"), [("1,5", (1, 5)), ("0.5, 2", (0.5, 2)), ("3,3", (3, 3))])
def test_delay_ranges(text, pair):
    assert delay_range_s(text) == pair


@pytest.mark.parametrize("text", ["", "1", "5,1", "-1,2", "a,b", "1,2,3", "1,inf", "nan,nan"])
def test_what_is_no_delay_range(text):
    assert delay_range_s(text) is None


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("$2a$10$abc", True),
        ("$2b$10$abc", True),
        ("$2y$10$abc", True),
        ("$2b$", False),
        ("plain", False),
        ("$1$x", False),
    ],
)
def test_hashed_secrets_are_recognised(text, hashed):
    assert is_hashed_secret(text) is hashed


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01", 86400.0),
        ("1970-01-02T00:00:00Z", 86400.0),
        ("1970-01-02T02:00:00+02:00", 86400.0),
        ("1970-01-02T00:00:00.5Z", 86400.5),
        ("1970-01-02T00:00:00", None),
        ("1970-02-30", None),
        ("9999-12-31", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_ends(text, moment):
    assert end_of(text) == moment
