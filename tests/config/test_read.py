"""Nodes to configuration: each key's type decides, every finding has its place, nothing stops the reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.model import Config
from cliproxy.config.nodes import parse
from cliproxy.config.read import MAX_NUMBER, read_config, without_indexes
from cliproxy.wire.secret import Secret
from support.yamltext import DOCUMENTS, layouts


def read(text):
    return read_config(parse(text).root)


def config_of(text):
    reading = read(text)
    assert reading.problems == ()
    assert reading.unknown == ()
    return reading.config


def test_nothing_reads_as_the_defaults():
    assert config_of("") == Config()
    assert config_of("{}\n") == Config()


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        ("12345", "12345"),
        ("1.0", "1.0"),
        ("yes", "yes"),
        ("0123", "0123"),
        ("'x '", "x"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_a_text_key_takes_any_scalar_as_written(scalar, text):
    assert config_of(f"host: {scalar}\n").host == text


def test_a_secret_is_taken_to_the_letter():
    reading = read("remote-management:\n  secret-key: ' 12 '\n")
    assert reading.config.remote_management.secret_key == Secret(" 12 ")


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "y", "Y", "yes", "on", "'true'", '"on"'])
def test_words_for_true(word):
    assert config_of(f"debug: {word}\n").debug is True


@pytest.mark.parametrize("word", ["false", "False", "FALSE", "n", "N", "no", "off", "'false'"])
def test_words_for_false(word):
    assert config_of(f"ws-auth: {word}\n").ws_auth is False


@pytest.mark.parametrize("word", ["1", "0", "Yes", "ON", "maybe", "''"])
def test_other_words_are_no_truth_values(word):
    [problem] = read(f"debug: {word}\n").problems
    assert problem.fatal
    assert "true or false" in problem.message


@pytest.mark.parametrize(
    ("scalar", "number"),
    [("80", 80), ("'80'", 80), ("0x50", 80), ("0b11", 3), ("8_317", 8317), ("1e3", 1000)],
)
def test_numbers_in_all_their_spellings(scalar, number):
    assert config_of(f"port: {scalar}\n").port == number


def test_a_fraction_is_cut_off_with_a_warning():
    reading = read("port: 80.9\n")
    assert reading.config.port == 80
    assert [problem.fatal for problem in reading.problems] == [False]


def test_seconds_may_be_fractions():
    assert config_of("timeouts: {idle-seconds: 1.5}\n").timeouts.idle_seconds == 1.5


@pytest.mark.parametrize("scalar", ["eighty", "''", "12:30:00", ".inf", str(MAX_NUMBER + 1), "80 81"])
def test_what_is_no_number_is_a_problem(scalar):
    reading = read(f"port: {scalar}\n")
    [problem] = reading.problems
    assert (problem.path, problem.line, problem.fatal) == ("port", 1, True)
    assert reading.config.port == Config().port


@pytest.mark.parametrize("scalar", ["-1", "65536"])
def test_a_port_outside_its_range_is_a_problem(scalar):
    assert read(f"port: {scalar}\n").problems[0].fatal


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("logs-max-total-size-mb: -1", "logs_max_total_size_mb", 0),
        ("error-logs-max-files: -1", "error_logs_max_files", 10),
        ("max-retry-credentials: -1", "max_retry_credentials", 0),
        ("request-retry: -5", "request_retry", 0),
        ("redis-usage-queue-retention-seconds: 9999", "redis_usage_queue_retention_seconds", 3600),
    ],
)
def test_limits_out_of_range_fall_back_with_a_warning(text, attribute, value):
    reading = read(text)
    assert getattr(reading.config, attribute) == value
    assert [problem.fatal for problem in reading.problems] == [False]


@pytest.mark.parametrize(
    "text", ["port:", "port: ~", "port: null", "tls:", "api-keys:", "oauth-model-alias: null"]
)
def test_nothing_after_the_colon_keeps_the_default(text):
    assert config_of(text + "\n") == Config()


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("port: [1]", "port", "single value, not a list"),
        ("host: {a: 1}", "host", "single value, not a group"),
        ("api-keys: abc", "api-keys", "must be a list, not a single value"),
        ("api-keys: {a: 1}", "api-keys", "must be a list, not a group"),
        ("tls: on", "tls", "group of keys, not a single value"),
        ("tls: []", "tls", "group of keys, not a list"),
        ("oauth-model-alias: [1]", "oauth-model-alias", "group of names"),
        ("claude-api-key: [abc]", "claude-api-key[0]", "group of keys"),
        ("- a", "", "group of keys, not a list"),
    ],
)
def test_wrong_shapes_are_named(text, path, reason):
    [problem] = read(text).problems
    assert problem.path == path
    assert reason in problem.message


def test_every_problem_is_reported_not_only_the_first():
    reading = read("port: x\ndebug: maybe\nclaude-api-key:\n  - priority: high\n    models: {}\n")
    found = [(problem.path, problem.line) for problem in reading.problems]
    assert found == [
        ("port", 1),
        ("debug", 2),
        ("claude-api-key[0].priority", 4),
        ("claude-api-key[0].models", 5),
    ]


def test_a_bad_value_is_shown_in_short_and_a_bad_secret_not_at_all():
    [problem] = read(f"debug: {'x' * 500}\n").problems
    assert len(problem.message) < 100
    [problem] = read("claude-api-key: [{api-key: [sk-very-secret]}]\n").problems
    assert "very-secret" not in problem.message


def test_words_are_understood_in_any_case():
    assert config_of("routing: {strategy: FillFirst}\n").routing.strategy == "fill-first"


def test_an_unknown_strategy_falls_back_and_an_unknown_action_does_not():
    reading = read("routing: {strategy: random}\n")
    assert reading.config.routing.strategy == "round-robin"
    assert not reading.problems[0].fatal
    reading = read("disable-image-generation: sometimes\n")
    assert reading.problems[0].fatal
    assert "passthrough" in reading.problems[0].message


@pytest.mark.parametrize(
    ("text", "path", "meant"),
    [
        ("prot: 1", "prot", "`port`"),
        ("api_keys: [a]", "api_keys", "`api-keys`"),
        ("ws_auth: true", "ws_auth", "`ws-auth`"),
        ("strategy: x", "strategy", "`routing.strategy`"),
        ("tls: {certificate: x}", "tls.certificate", ""),
        ("claude-api-key: [{base_url: x}]", "claude-api-key[0].base_url", "`base-url`"),
        ("gemini-api-key: [{websockets: true}]", "gemini-api-key[0].websockets", ""),
        ("something-else: 1", "something-else", ""),
    ],
)
def test_unknown_keys_are_reported_with_what_was_meant(text, path, meant):
    reading = read(text)
    [problem] = reading.unknown
    assert (problem.path, problem.fatal, reading.problems) == (path, False, ())
    assert ("did you mean" in problem.message) == bool(meant)
    assert meant in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "kiro: [{a: 1}]",
        "claude-api-key: [{cloak: {mode: x}}]",
        "disable-claude-cloak-mode: true",
        "codex: {identity-confuse: 1}",
    ],
)
def test_keys_that_are_out_of_scope_are_passed_over_in_silence(text):
    reading = read(text)
    assert (reading.unknown, reading.problems) == ((), ())


def test_keys_of_parts_that_are_not_built_are_said_to_have_no_effect():
    [problem] = read("pprof: {enable: true}\n").problems
    assert not problem.fatal
    assert "no effect" in problem.message


def test_a_key_of_one_list_is_read_there():
    assert config_of("codex-api-key: [{websockets: true}]\n").codex_api_key[0].websockets


def test_entries_know_their_place():
    config = config_of("openai-compatibility:\n  - name: a\n  - api-key-entries: [{}, {}]\n")
    second = config.openai_compatibility[1]
    assert second.place == "openai-compatibility[1]"
    assert second.api_key_entries[1].place == "openai-compatibility[1].api-key-entries[1]"


def test_lines_are_remembered_for_later_messages():
    lines = read("tls:\n  cert: a\napi-keys:\n  - x\n  - y\n").lines
    assert (lines["tls.cert"], lines["api-keys[1]"]) == (2, 5)


def test_empty_items_keep_the_positions_of_the_others():
    assert [key.reveal() for key in config_of("api-keys:\n  -\n  - a\n").api_keys] == ["", "a"]
    assert len(config_of("claude-api-key:\n  -\n  - {api-key: k}\n").claude_api_key) == 2


def test_a_channel_with_nothing_says_explicitly_none():
    assert config_of("oauth-model-alias:\n  codex:\n").oauth_model_alias == {"codex": ()}


def test_a_name_with_nothing_behind_it_is_left_out_where_it_says_nothing():
    assert config_of("claude-api-key: [{headers: {X-A: ~, X-B: 1}}]\n").claude_api_key[0].headers == {
        "X-B": "1"
    }


def test_an_item_of_the_wrong_shape_is_a_problem_and_leaves_the_others():
    reading = read(
        "oauth-excluded-models: {codex: [a, [b], c]}\npayload: {filter: [{models: [{match: [5]}]}]}\n"
    )
    assert reading.config.oauth_excluded_models["codex"] == ("a", "", "c")
    assert [problem.path for problem in reading.problems] == [
        "oauth-excluded-models.codex[1]",
        "payload.filter[0].models[0].match[0]",
    ]


def test_free_values_keep_their_types():
    text = (
        "payload: {override: [{models: [{name: x}], params: {a: 1, b: 'yes', c: [true, 1.5], d: {e: ~}}}]}\n"
    )
    params = config_of(text).payload.override[0].params
    assert params == {"a": 1, "b": "yes", "c": [True, 1.5], "d": {"e": None}}


def test_an_optional_value_may_be_absent_or_set():
    config = config_of("claude-api-key: [{disable-cooling: false, request-retry: 0}, {}]\n")
    assert [(entry.disable_cooling, entry.request_retry) for entry in config.claude_api_key] == [
        (False, 0),
        (None, None),
    ]
    text = "claude-api-key: [{models: [{name: a, thinking: {levels: [low]}}]}]\n"
    assert config_of(text).claude_api_key[0].models[0].thinking == {"levels": ["low"]}


def test_aliases_and_merge_keys_work():
    text = "base: &base {base-url: https://a, prefix: p}\nclaude-api-key:\n  - <<: *base\n    api-key: k\n"
    entry = read(text).config.claude_api_key[0]
    assert (entry.base_url, entry.prefix) == ("https://a", "p")


@given(st.data())
def test_any_document_is_read_without_an_exception(data):
    text = data.draw(layouts(data.draw(DOCUMENTS)))
    assert isinstance(read(text).config, Config)


def test_list_positions_can_be_left_out_of_a_path():
    assert without_indexes("a[0].b[12].c") == "a.b.c"
