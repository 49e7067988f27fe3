import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import BadRequest
from cliproxy.providers.gitlab.fill import suggestion_of


def test_prompt_and_suffix_stand_around_the_cursor() -> None:
    assert suggestion_of({"model": "gitlab-duo", "prompt": "def f(", "suffix": "):\n    pass"}, {}) == {
        "current_file": {
            "file_name": "untitled.txt",
            "content_above_cursor": "def f(",
            "content_below_cursor": "):\n    pass",
        },
        "intent": "completion",
        "stream": False,
    }


def test_what_an_editor_knows_goes_along() -> None:
    body = {
        "prompt": ["x = "],
        "suffix": "",
        "stream": True,
        "file_name": "a.py",
        "project_path": "group/project",
        "intent": "generation",
        "generation_type": "comment",
        "user_instruction": "use numpy",
        "context": [{"type": "file", "name": "b.py", "content": "y = 1"}],
    }
    wish = suggestion_of(body, {})
    assert wish["current_file"]["file_name"] == "a.py"
    assert wish["current_file"]["content_above_cursor"] == "x = "
    assert wish["stream"] is True
    for name in ("project_path", "intent", "generation_type", "user_instruction", "context"):
        assert wish[name] == body[name]


def test_headers_serve_clients_that_cannot_add_members() -> None:
    headers = {"x-file-name": "main.go", "x-project-path": "a/b", "x-intent": "generation"}
    wish = suggestion_of({"prompt": "x"}, headers)
    assert (wish["current_file"]["file_name"], wish["project_path"], wish["intent"]) == (
        "main.go",
        "a/b",
        "generation",
    )


def test_members_win_over_headers() -> None:
    wish = suggestion_of({"prompt": "x", "file_name": "body.py"}, {"x-file-name": "header.py"})
    assert wish["current_file"]["file_name"] == "body.py"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": "a", "context": "b"}, "context"),
        ({"prompt": "a", "context": [5]}, "context"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "x", "intent": "guess"}, "intent"),
        ({"prompt": "x", "generation_type": "poem"}, "generation_type"),
        ({"prompt": "x", "context": [{"type": "url", "name": "n", "content": "c"}]}, "context"),
        ({"prompt": "x", "context": [{"type": "file", "name": "n"}]}, "context"),
        ({"prompt": "x", "context": ["text"]}, "context"),
    ],
)
def test_what_is_refused_is_named(body: dict, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        suggestion_of(body, {})
    assert caught.value.param == param


members = st.sampled_from(["prompt", "suffix", "stream", "file_name", "intent", "context", "generation_type"])
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=3), max_size=2)
)


@given(st.dictionaries(members, values))
def test_any_body_gives_a_request_or_a_refusal(body: dict) -> None:
    try:
        wish = suggestion_of(body, {})
    except BadRequest:
        return
    assert wish["current_file"]["file_name"]
