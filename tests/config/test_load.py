"""The whole way from a file's bytes to a configuration and its report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.data import as_data
from cliproxy.config.keys import is_section, keys_of
from cliproxy.config.load import examine, load_config
from cliproxy.config.model import Config
from cliproxy.errors import ConfigError
from cliproxy.wire.secret import Secret
from support.yamltext import DOCUMENTS, TEXTS, layouts, plain_text

SAMPLE = """
host: ""
port: 8317
tls: {enable: false, cert: "", key: ""}
remote-management:
  allow-remote: false
  secret-key: ""
  disable-control-panel: false
auth-dir: "~/.cli-proxy-api"
api-keys: ["client-key-a-0123456789", "client-key-b-0123456789"]
debug: false
logging-to-file: false
request-retry: 3
max-retry-interval: 30
quota-exceeded: {switch-project: true, switch-preview-model: true}
routing: {strategy: round-robin}
ws-auth: false
streaming: {keepalive-seconds: 0, bootstrap-retries: 0}
gemini-api-key:
  - api-key: "g-1"
    prefix: "team"
    priority: 10
    base-url: "https://generativelanguage.googleapis.com"
    proxy-url: "direct"
    headers: {X-Extra: "v"}
    models: [{name: "gemini-2.5-flash", alias: "fast"}]
    excluded-models: ["*-preview"]
codex-api-key:
  - {api-key: "c-1", base-url: "https://codex.example.com/v1", websockets: false}
claude-api-key:
  - {api-key: "a-1"}
vertex-api-key:
  - {api-key: "v-1", base-url: "https://vertex.example.com/api"}
openai-compatibility:
  - name: "router"
    base-url: "https://router.example.com/v1"
    headers: {X-Extra: "v"}
    api-key-entries:
      - {api-key: "o-1", proxy-url: "socks5://127.0.0.1:1080"}
      - {api-key: "o-2"}
    models:
      - {name: "vendor/model-1", alias: "pool"}
      - {name: "vendor/model-2", alias: "pool"}
oauth-model-alias:
  codex: [{name: "gpt-5", alias: "g5", fork: true}]
oauth-excluded-models:
  gitlab: ["*-legacy"]
payload:
  default:
    - models: [{name: "gemini-*", protocol: "gemini"}]
      params: {"generationConfig.thinkingConfig.thinkingBudget": 32768}
  override-raw:
    - models: [{name: "gpt-*", protocol: "codex"}]
      params: {"text": '{"verbosity":"low"}'}
"""


def test_an_empty_file_is_a_configuration_of_defaults():
    assert load_config("").config == Config()
    assert load_config(b"\xef\xbb\xbf# nothing\r\n").config == Config()


def test_a_complete_file_of_this_kind_of_server_loads_without_a_word_but_inactive_keys():
    loaded = load_config(SAMPLE)
    assert (loaded.warnings, loaded.unknown, loaded.migrations) == ((), (), ())
    assert {problem.path for problem in loaded.inactive} == {"ws-auth"}
    config = loaded.config
    assert config.gemini_api_key[0].models[0].alias == "fast"
    assert [key.api_key for key in config.openai_compatibility[0].api_key_entries] == [
        Secret("o-1"),
        Secret("o-2"),
    ]
    assert config.payload.default[0].params == {"generationConfig.thinkingConfig.thinkingBudget": 32768}


def test_all_reasons_are_in_the_error_with_file_line_and_key():
    with pytest.raises(ConfigError) as caught:
        load_config("port: x\ntls: {enable: true}\napi-keys: [your-api-key-1]\nport: 2\n", "/etc/c.yaml")
    assert str(caught.value).splitlines() == [
        "/etc/c.yaml: line 1: port: must be a number, not `x`",
        "/etc/c.yaml: line 2: tls.cert: is needed when tls.enable is true",
        "/etc/c.yaml: line 2: tls.key: is needed when tls.enable is true",
        "/etc/c.yaml: line 3: api-keys[0]: is a sample from an example file, which everybody knows; "
        "choose a key of your own",
        "/etc/c.yaml: line 4: the key `port` is given twice, first in line 1",
    ]


def test_broken_yaml_is_one_error_with_its_line():
    with pytest.raises(ConfigError) as caught:
        load_config("a: 1\nb: [\n")
    [problem] = caught.value.problems
    assert problem.line == 3


@pytest.mark.parametrize(
    ("raw", "line", "reason"),
    [(b"a: 1\nb: \xff\n", 2, "UTF-8"), ("a: 1".encode("utf-16"), None, "UTF-16")],
)
def test_other_encodings_are_named(raw, line, reason):
    [error] = examine(raw).errors
    assert error.line == line
    assert reason in error.message


def test_notes_come_in_the_order_of_the_file():
    text = "xai: {inject-x-search: true}\nunknown-thing: 1\nremote-management-key: s\nrequest-retry: -1\n"
    assert [note.line for note in load_config(text).notes()] == [1, 2, 3, 3, 4]


def test_unknown_keys_do_not_stop_the_load():
    loaded = load_config("future-key: {a: [1]}\nport: 1\n")
    assert loaded.config.port == 1
    assert [problem.path for problem in loaded.unknown] == ["future-key"]


def test_a_secret_never_shows_in_the_report():
    text = """
api-keys: [canary-short]
proxy-url: canary://u:canary@x
remote-management: {secret-key: [canary]}
claude-api-key: [{api-key: canary, base-url: nonsense, proxy-url: "canary:canary"}, {api-key: {x: canary}}]
openai-compatibility: [{base-url: "https://x", api-key-entries: [{api-key: canary, proxy-url: canary}]}]
"""
    loaded = examine(text)
    shown = " ".join(str(problem) for problem in (*loaded.errors, *loaded.notes()))
    assert shown
    assert "canary" not in shown.replace("canary-short", "canary")
    assert "canary" not in repr(loaded)


@given(st.data())
def test_any_document_can_be_examined(data):
    loaded = examine(data.draw(layouts(data.draw(DOCUMENTS))))
    assert isinstance(loaded.config, Config)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_examined(raw):
    assert isinstance(examine(raw).config, Config)


# --------------------------------------------------------------------------------- generated configurations

WORDS = TEXTS.map(str.strip)


def _values(kind, info, top):
    """Draw a legal value for a type annotation, as it would stand in a file."""
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        low = -5 if info.minimum is None else info.minimum
        return st.integers(low, min(low + 100, info.maximum or low + 100))
    if kind is str or getattr(kind, "__name__", "") == "Secret":
        return st.sampled_from(sorted(info.words)) if info.words else WORDS
    if is_section(kind):
        return _sections(kind, top)
    if hasattr(kind, "__args__"):
        inner = [option for option in kind.__args__ if option is not type(None) and option is not Ellipsis]
        if getattr(kind, "__origin__", None) is tuple:
            return st.lists(_values(inner[0], info, top), max_size=2)
        if len(inner) == 1:
            return st.none() | _values(inner[0], info, top)
        return st.dictionaries(
            WORDS.filter(lambda text: text != "<<"), _values(inner[1], info, top), max_size=2
        )
    return st.integers() | TEXTS


def _sections(kind, top=None):
    keys = {
        name: _values(declared.type, declared.info, top or name)
        for name, declared in keys_of(kind).items()
        if not declared.info.only or (top or name) in declared.info.only
    }
    return st.fixed_dictionaries({}, optional=keys)


FREE_TEXTS = {"host", "proxy-url", "tls", "remote-management"}
"""Keys for which a random text is refused."""
CHECKED = {"hash", "models", "providers", "expires"}
"""The same of client keys."""


@given(_sections(Config))
def test_every_configuration_with_values_of_the_right_type_loads(document):
    document = {name: value for name, value in document.items() if name not in FREE_TEXTS}
    document["api-keys"] = [f"0123456789abcdef-{key}" for key in document.get("api-keys", [])]
    document["client-keys"] = [
        {name: value for name, value in entry.items() if name not in CHECKED}
        | {"name": f"client {number}", "key": f"fedcba9876543210-{number}"}
        for number, entry in enumerate(document.get("client-keys") or [])
    ]
    loaded = load_config(plain_text(document))
    assert loaded.unknown == ()


@given(_sections(Config))
def test_a_loaded_configuration_survives_being_written_and_loaded_again(document):
    first = examine(plain_text(document)).config
    second = examine(plain_text(as_data(first, Secret.reveal)))
    assert second.config == first
    assert second.unknown == ()
