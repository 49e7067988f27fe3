"""File names: the same account gets the same one, and none leads out of its directory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.naming import (
    MAX_NAME,
    file_name,
    gitlab_file_name,
    is_plain_name,
    safe_part,
)


@pytest.mark.parametrize(
    ("base_url", "user", "is_pat", "name"),
    [
        ("https://gitlab.com", "Jo.Doe", False, "gitlab-jo.doe.json"),
        ("https://gitlab.com/", "jo", True, "gitlab-jo-pat.json"),
        ("https://gitlab.example.com", "jo", False, "gitlab-gitlab.example.com-jo.json"),
        ("https://git.example.com:8443/gitlab", "jo", True, "gitlab-git.example.com-8443-gitlab-jo-pat.json"),
        ("git.example.com", "jo", False, "gitlab-git.example.com-jo.json"),
        ("https://user:pw@git.example.com", "jo", False, "gitlab-git.example.com-jo.json"),
        ("https://gitlab.com", "a b@c", False, "gitlab-a-b-c.json"),
        ("https://gitlab.com", "../..", False, "gitlab-account.json"),
    ],
)
def test_gitlab(base_url, user, is_pat, name):
    assert gitlab_file_name(base_url, user, is_pat=is_pat) == name


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("me+x@example.com", "me+x@example.com"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "account"),
        (".hidden", "hidden"),
        ("a\x00b\nc", "a-b-c"),
        ("C:\\x", "C-x"),
        ("", "account"),
        ("\u202eevil", "evil"),
        ("日本", "日本"),
    ],
)
def test_parts_are_made_safe(text, part):
    assert safe_part(text) == part


def test_long_parts_are_cut_and_stay_different():
    one, other = safe_part("x" * 500 + "1"), safe_part("x" * 500 + "2")
    assert one != other
    assert len(one) <= 80


@given(st.lists(st.text(max_size=120), min_size=1, max_size=2))
def test_no_part_leads_anywhere(parts):
    name = file_name("claude", *parts)
    assert is_plain_name(name)
    assert len(name.encode()) <= MAX_NAME


@given(st.text(), st.text(), st.booleans())
def test_no_gitlab_user_or_host_leads_anywhere(host, user, is_pat):
    assert is_plain_name(gitlab_file_name(host, user, is_pat=is_pat))


@pytest.mark.parametrize("name", ["a.json", "A.JSON", "gemini-a b@c.json", "日本.json"])
def test_plain_names(name):
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".json",
        "a.txt",
        "../a.json",
        "a/b.json",
        "a\\b.json",
        ".a.json",
        "C:a.json",
        "a\0.json",
        " a.json",
        "a.json ",
        "a\n.json",
        "x" * 300 + ".json",
    ],
)
def test_names_that_are_not_plain(name):
    assert not is_plain_name(name)
