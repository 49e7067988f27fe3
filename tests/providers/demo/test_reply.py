"""The modes of the demo model."""

import json

import pytest
from attrs import evolve

from cliproxy.providers.demo.prompt import DemoTool, Prompt
from cliproxy.providers.demo.reply import LONG_WORDS, MODES, SLOW_PACE_S, Refusal, Reply, reply_to

WEATHER = DemoTool(
    name="get_weather",
    schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PATCH = DemoTool(name="apply_patch", is_custom=True)


def ask(text: str, **settings: object) -> Reply:
    reply = reply_to(evolve(Prompt(model="demo", text=text), **settings))
    assert isinstance(reply, Reply)
    return reply


def test_plain_answer_says_what_it_is_and_how_to_get_more():
    said = ask("Hello there").text
    assert "demo" in said
    assert "not a real" in said
    assert "Hello there" in said
    assert MODES in said


def test_plain_answer_without_a_prompt():
    assert "You wrote" not in ask("").text


def test_long_prompts_are_not_quoted_in_full():
    assert len(ask("word " * 10_000).text) < 2_000


def test_tool_calls_the_first_tool_with_fitting_arguments():
    [call] = ask("tool", tools=(WEATHER, PATCH)).calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})


def test_tool_by_name():
    [call] = ask("Tool: apply_patch", tools=(WEATHER, PATCH)).calls
    assert (call.name, call.is_custom) == ("apply_patch", True)
    assert call.arguments


def test_mentioned_tool_needs_no_mode_word():
    [call] = ask("what is get_weather good for?", tools=(PATCH, WEATHER)).calls
    assert call.name == "get_weather"


@pytest.mark.parametrize(("forced", "name"), [("*", "get_weather"), ("apply_patch", "apply_patch")])
def test_forced_tool_is_called_whatever_the_user_says(forced, name):
    [call] = ask("hello", tools=(WEATHER, PATCH), forced_tool=forced).calls
    assert call.name == name


def test_arguments_can_be_dictated():
    [call] = ask('tool {"city": "Rome"}', tools=(WEATHER,)).calls
    assert call.arguments == '{"city": "Rome"}'


@pytest.mark.parametrize("mode", ["tool", "parallel"])
def test_tool_mode_without_tools(mode):
    reply = ask(mode)
    assert (reply.calls, "declares none" in reply.text) == ((), True)


def test_parallel_calls_two():
    calls = ask("parallel", tools=(WEATHER, PATCH)).calls
    assert [call.name for call in calls] == ["get_weather", "apply_patch"]
    calls = ask("parallel get_weather", tools=(WEATHER, PATCH)).calls
    assert [call.name for call in calls] == ["get_weather", "get_weather"]


def test_after_a_tool_the_result_is_quoted_and_nothing_is_called():
    reply = ask("", results=("18 degrees", ""), tools=(WEATHER,), forced_tool="*")
    assert "18 degrees" in reply.text
    assert reply.calls == ()
    assert ask("", results=("one",)).text.startswith("The tool answered")


def test_think():
    reply = ask("think about it")
    assert reply.thoughts
    assert reply.text
    assert ask("hello").thoughts == ""


def test_thoughts_asked_for_by_the_request_or_the_model():
    assert ask("hello", wants_thoughts=True).thoughts
    assert ask("hello", model="demo-thinking").thoughts
    assert ask("", results=("r",), wants_thoughts=True).thoughts


def test_slow_and_long():
    slow = ask("slow")
    assert (slow.pace_s, slow.words_per_piece) == (SLOW_PACE_S, 1)
    assert abs(len(ask("long").text.split()) - LONG_WORDS) < 50


def test_json_follows_the_schema():
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    assert json.loads(ask("anything", schema=schema).text) == {"title": "demo title"}
    assert json.loads(ask("anything", schema={}).text)["is_real"] is False
    assert json.loads(ask("json").text)["prompt"] == "json"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("error 429", 429),
        ("error", 500),
        ("Error: 503!", 503),
        ("error 599", 599),
    ],
)
def test_error_status(text, status):
    refusal = reply_to(Prompt(model="demo", text=text))
    assert isinstance(refusal, Refusal)
    assert refusal.status == status


@pytest.mark.parametrize("text", ["error in my code", "error 200", "Error: 1"])
def test_talk_about_errors_is_just_talk(text):
    assert ask(text).text


@pytest.mark.parametrize(("text", "ends"), [("error mid", "error"), ("error cut", "cut")])
def test_broken_ends(text, ends):
    assert ask(text).ends == ends


def test_limit_cuts_the_text():
    reply = ask("hello", max_tokens=3)
    assert (len(reply.text), reply.is_truncated) == (12, True)
    assert not ask("slow", max_tokens=1000).is_truncated
