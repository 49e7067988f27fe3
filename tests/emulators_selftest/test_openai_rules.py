"""What the OpenAI emulator turns down, each with the vendor's status and words."""

import json

import pytest

from emulators.openai import OpenAi
from support.refusals import refusal

HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-test"}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
FLAT = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
USER = {"role": "user", "content": "hi"}


def call(call_id="call_1"):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def assistant(*calls):
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(call_id="call_1"):
    return {"role": "tool", "tool_call_id": call_id, "content": "ok"}


def chat(**changes):
    body = {"model": "gpt-4o", "messages": [USER], **changes}
    return refusal(OpenAi(lambda: 0.0), "/v1/chat/completions", body, HEADERS)


def responses(**changes):
    body = {"model": "gpt-5", "input": "hi", **changes}
    return refusal(OpenAi(lambda: 0.0), "/v1/responses", body, HEADERS)


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"content-type": "application/json"}, 401, "You didn't provide an API key"),
        ({**HEADERS, "authorization": "Bearer wrong"}, 401, "Incorrect API key"),
        ({**HEADERS, "content-type": "text/plain"}, 415, "Unsupported content type"),
    ],
)
def test_headers(headers, status, words):
    found = refusal(OpenAi(lambda: 0.0), "/v1/chat/completions", {}, headers)
    assert found is not None
    assert found[0] == status
    assert words in found[1]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/nothing", "POST", 404), ("/chat/completions", "POST", 404), ("/v1/responses", "GET", 405)],
)
def test_paths(path, method, status):
    found = refusal(OpenAi(lambda: 0.0), path, {}, HEADERS, method)
    assert found is not None
    assert found[0] == status


def test_a_refused_key_and_broken_json():
    service = OpenAi(lambda: 0.0)
    service.configure({"refuse_keys": {"sk-test": 403}})
    assert refusal(service, "/v1/chat/completions", {}, HEADERS)[0] == 403
    service.reset()
    assert "could not parse" in refusal(service, "/v1/chat/completions", b"{", HEADERS)[1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"messages": [{"role": "developer", "content": "be kind"}, USER]},
        {"messages": [USER, assistant(call("a"), call("b")), result("b"), result("a")]},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"model": "gpt-5", "max_completion_tokens": 5, "reasoning_effort": "minimal"},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "JSON!"}]},
    ],
)
def test_good_chat_requests(body):
    assert chat(**body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"top_k": 4}, "Unrecognized request argument supplied: top_k"),
        ({"messages": []}, "Invalid 'messages': empty array"),
        ({"messages": "hi"}, "Invalid type for 'messages': expected an array, but got a string instead."),
        ({"messages": [{"role": "model", "content": "x"}]}, "Invalid value: 'model'"),
        ({"messages": [{"role": "user"}]}, "Missing required parameter: 'messages[0].content'"),
        ({"messages": [{**USER, "extra": 1}]}, "Unknown parameter: 'messages[0].extra'"),
        ({"messages": [{"role": "assistant", "content": None}]}, "Invalid value for 'content'"),
        ({"messages": [USER, assistant()]}, "empty array"),
        ({"messages": [USER, result()]}, "must be a response to a preceeding message with 'tool_calls'"),
        ({"messages": [USER, assistant(call()), USER]}, "did not have response messages: call_1"),
        ({"messages": [USER, assistant(call())]}, "did not have response messages: call_1"),
        ({"messages": [USER, assistant(call()), result("x")]}, "'x' not found in 'tool_calls'"),
        ({"messages": [USER, assistant(call(), call()), result()]}, "Duplicate 'tool_call_id'"),
        ({"messages": [USER, assistant(call("c" * 41)), result("c" * 41)]}, "maximum length 40"),
        ({"tools": []}, "Invalid 'tools': empty array"),
        ({"tool_choice": "auto"}, "'tool_choice' is only allowed when 'tools' are specified"),
        ({"parallel_tool_calls": True}, "only allowed when 'tools' are specified"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "not found in"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "does not match pattern"),
        ({"tools": [{"type": "function", "function": {"name": "n" * 65}}]}, "maximum length 64"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, 'type: "object"\''),
        ({"tools": [FLAT]}, "Unknown parameter: 'tools[0].name'"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"temperature": 3}, "Expected a value <= 2"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "maximum length 4"),
        ({"metadata": {"a": "b"}}, "only allowed when 'store' is enabled"),
        ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
        ({"model": "gpt-5", "max_tokens": 5}, "Use 'max_completion_tokens' instead"),
        ({"model": "gpt-5", "temperature": 0.5}, "Only the default (1) value is supported"),
        ({"model": "gpt-5", "reasoning_effort": "xhigh"}, "Supported values are"),
        ({"reasoning_effort": "low"}, "Unrecognized request argument supplied: reasoning_effort"),
        ({"model": "gpt-5-codex"}, "only supported in v1/responses"),
        ({"model": "gpt-99"}, "does not exist"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "unsupported image",
        ),
    ],
)
def test_bad_chat_requests(body, words):
    found = chat(**body)
    assert found is not None
    assert words in found[1]


def item(kind, **fields):
    return {"type": kind, **fields}


CALL = item("function_call", call_id="c1", name="f", arguments="{}")
OUTPUT = item("function_call_output", call_id="c1", output="ok")


@pytest.mark.parametrize(
    "body",
    [
        {"input": [USER, CALL, OUTPUT], "tools": [FLAT]},
        {"input": [item("message", role="user", id="msg_1", content=[item("input_text", text="a")])]},
        {"instructions": "be kind", "reasoning": {"effort": "low"}, "store": False},
        {"tools": [item("namespace", name="ns", tools=[FLAT])]},
        {"tools": [item("web_search")]},
    ],
)
def test_good_responses_requests(body):
    assert responses(**body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "Unknown parameter: 'messages'"),
        ({"client_metadata": {}}, "Unknown parameter: 'client_metadata'"),
        ({"input": [CALL]}, "No tool output found for function call c1"),
        ({"input": [OUTPUT]}, "No tool call found for function call output with call_id c1"),
        ({"input": [{**CALL, "call_id": "c" * 65}]}, "maximum length 64"),
        ({"input": [{**CALL, "id": "call_1"}, OUTPUT]}, "Expected an ID that begins with 'fc'"),
        (
            {"input": [item("message", role="assistant", content=[item("input_text", text="a")])]},
            "input_text",
        ),
        ({"input": [item("message", role="user", content=[item("output_text", text="a")])]}, "output_text"),
        ({"input": [item("tool_result")]}, "Invalid value: 'tool_result'"),
        (
            {"input": [item("reasoning", id="rs_1", summary=[], encrypted_content="E" * 80), USER]},
            "could not be verified",
        ),
        ({"input": [item("reasoning", id="rs_1", summary=[]), USER]}, "Items are not persisted"),
        ({"previous_response_id": "resp_1"}, "Previous response with id 'resp_1' not found"),
        ({"max_output_tokens": 3}, "Expected a value >= 16"),
        ({"stream_options": {}}, "only allowed when 'stream' is enabled"),
        ({"include": ["everything"]}, "Invalid value: 'everything'"),
        ({"tools": [TOOL]}, "'tools[0].function'"),
        ({"tools": [FLAT], "tool_choice": {"type": "function", "name": "g"}}, "not found in 'tools'"),
        ({"tool_choice": "required"}, "must be specified with 'tools'"),
        ({"temperature": 0.2}, "Only the default (1) value"),
        ({"model": "gpt-4o", "reasoning": {"effort": "low"}}, "'reasoning.effort' is not supported"),
        ({"tools": [{**FLAT, "strict": True}]}, "'additionalProperties' is required"),
    ],
)
def test_bad_responses_requests(body, words):
    found = responses(**body)
    assert found is not None
    assert words in found[1]


def test_tokens_are_counted_of_what_has_tokens():
    service, path = OpenAi(lambda: 0.0), "/v1/responses/input_tokens"
    body = {"model": "gpt-5", "input": "hi", "instructions": "Be brief.", "tools": [FLAT]}
    assert refusal(service, path, body, HEADERS) is None
    for stray in ("stream", "store", "max_output_tokens"):
        assert f"Unknown parameter: '{stray}'" in refusal(service, path, {**body, stray: 1}, HEADERS)[1]
    service.configure({"vendor": "compatible"})
    assert refusal(service, path, body, HEADERS)[0] == 404


def test_a_conversation_is_compacted_by_what_says_it():
    service, path = OpenAi(lambda: 0.0), "/v1/responses/compact"
    body = {"model": "gpt-5", "input": [USER], "instructions": "Be brief."}
    assert refusal(service, path, body, HEADERS) is None
    for stray in ("stream", "store", "tools"):
        assert f"Unknown parameter: '{stray}'" in refusal(service, path, {**body, stray: 1}, HEADERS)[1]
    foreign = {"type": "compaction", "encrypted_content": "mine"}
    assert "could not be verified" in responses(input=[foreign])[1]
    service.configure({"vendor": "compatible"})
    assert refusal(service, path, body, HEADERS)[0] == 404


def test_a_compatible_server_takes_more_and_less():
    service = OpenAi(lambda: 0.0)
    service.configure({"vendor": "compatible"})
    body = {"model": "x", "max_tokens": 4, "top_k": 3, "messages": [USER]}
    path = "/v1/chat/completions"
    assert refusal(service, path, body, HEADERS) is None
    history = [{"role": "assistant", "content": "a", "reasoning_content": "b"}, USER]
    assert refusal(service, path, {**body, "messages": history}, HEADERS) is None
    developer = [{"role": "developer", "content": "x"}, USER]
    assert "developer" in refusal(service, path, {**body, "messages": developer}, HEADERS)[1]
    assert refusal(service, "/v1/responses", {"model": "x", "input": "hi"}, HEADERS)[0] == 404


def test_error_bodies_have_the_vendors_shape():
    answer = OpenAi(lambda: 0.0).failure(None, 429, {"message": "slow down"})
    error = json.loads(answer.pieces[0])["error"]
    assert error == {
        "message": "slow down",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
