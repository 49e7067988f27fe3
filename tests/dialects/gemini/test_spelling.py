"""Both spellings of the API's names."""

import pytest

from cliproxy.dialects.gemini.spelling import camel, snake


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("inlineData", "inline_data"),
        ("topP", "top_p"),
        ("text", "text"),
        ("parametersJsonSchema", "parameters_json_schema"),
    ],
)
def test_snake(name, other):
    assert snake(name) == other


def test_known_names_are_brought_to_the_first_spelling():
    node = {"inline_data": {"mime_type": "a/b"}, "text": "t", "my_own": 1}
    assert camel(node) == {"inlineData": {"mime_type": "a/b"}, "text": "t", "my_own": 1}


def test_the_first_spelling_wins():
    assert camel({"top_p": 1, "topP": 2}) == {"topP": 2}
    assert camel({"topP": 2, "top_p": 1}) == {"topP": 2}
