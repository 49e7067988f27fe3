"""What the demo model sees in a request."""

import json

import pytest

from cliproxy.providers.demo.prompt import PromptError, read_prompt, tokens_of


def request(text: object = "hi", **members: object) -> bytes:
    return json.dumps({"model": "demo", "messages": [{"role": "user", "content": text}], **members}).encode()


def function(name: str, **parameters: object) -> dict:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "messages"),
        (b'{"messages":[]}', "messages"),
        (b'{"messages":[1]}', "messages"),
    ],
)
def test_request_that_no_upstream_takes(body, param):
    with pytest.raises(PromptError) as caught:
        read_prompt(body)
    assert caught.value.param == param


def test_last_part_of_the_last_user_message_counts():
    """Coding clients put reminders of their own before what the user typed."""
    parts = [
        {"type": "text", "text": "<reminder>"},
        {"type": "text", "text": " say hello "},
        {"type": "image_url"},
    ]
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "prefill"},
    ]
    assert read_prompt(json.dumps({"messages": messages}).encode()).text == "say hello"


def test_notes_of_a_client_are_not_what_the_user_said():
    """Claude Code puts a note about its agents behind the user's words; it reaches us as a user's message."""
    note = {"role": "user", "content": "<system-reminder>\nAgent: runs a tool\n</system-reminder>"}
    asked = [{"role": "user", "content": "Hello!"}, note]
    answered = [
        *asked,
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "<system-reminder> is what the file says"},
        note,
    ]
    assert read_prompt(json.dumps({"messages": asked}).encode()).text == "Hello!"
    assert read_prompt(json.dumps({"messages": answered}).encode()).results == (
        "<system-reminder> is what the file says",
    )


def test_request_without_user_text():
    assert read_prompt(b'{"messages":[{"role":"system","content":"s"}]}').text == ""


def test_results_at_the_end_are_the_subject():
    messages = [
        {"role": "user", "content": "tool"},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "more"}]},
    ]
    prompt = read_prompt(json.dumps({"messages": messages}).encode())
    assert (prompt.results, prompt.text) == (("one", "two\nmore"), "")


def test_tools_of_both_kinds():
    tools = [
        function("f", type="object"),
        {"type": "custom", "custom": {"name": "c"}},
        {"type": "web_search"},
    ]
    prompt = read_prompt(request(tools=tools))
    assert [(tool.name, tool.schema, tool.is_custom) for tool in prompt.tools] == [
        ("f", {"type": "object"}, False),
        ("c", {}, True),
    ]


def test_forbidden_tools_are_not_seen():
    assert read_prompt(request(tools=[function("f")], tool_choice="none")).tools == ()


@pytest.mark.parametrize(
    ("choice", "forced"),
    [
        ("auto", ""),
        ("required", "*"),
        ({"type": "function", "function": {"name": "f"}}, "f"),
        ({"type": "custom", "custom": {"name": "c"}}, "c"),
    ],
)
def test_forced_tool(choice, forced):
    assert read_prompt(request(tool_choice=choice)).forced_tool == forced


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("what does get_weather say?", ["get_weather"]),
        ("Write a poem", []),
        ("use Write", ["Write"]),
        ("call get_weather and Write", ["get_weather", "Write"]),
        ("get_weather_now", []),
    ],
)
def test_mentioned_tools(text, mentioned):
    prompt = read_prompt(request(text, tools=[function("get_weather"), function("Write")]))
    assert [tool.name for tool in prompt.mentioned_tools()] == mentioned


@pytest.mark.parametrize(
    ("text", "written"),
    [('tool {"a": {"b": 1}} please', '{"a": {"b": 1}}'), ("tool {a}", ""), ("} {", ""), ("tool", "")],
)
def test_arguments_written_out_by_the_user(text, written):
    assert read_prompt(request(text)).literal_arguments() == written


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {}),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            {"type": "object"},
        ),
    ],
)
def test_wanted_format(wanted, schema):
    assert read_prompt(request(response_format=wanted)).schema == schema


def test_settings():
    prompt = read_prompt(
        request(
            max_tokens=5,
            max_completion_tokens=7,
            reasoning_effort="low",
            stream_options={"include_usage": True},
        )
    )
    assert (prompt.max_tokens, prompt.wants_thoughts, prompt.wants_usage) == (7, True, True)
    assert not read_prompt(request(reasoning_effort="none")).wants_thoughts


def test_tokens_are_rounded_up():
    assert [tokens_of(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]


def test_digest_tells_requests_apart():
    assert read_prompt(request("a")).digest != read_prompt(request("b")).digest
