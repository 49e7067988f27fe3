"""Credential files: what is read from them, what is refused, what survives being written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.files import (
    SETTINGS,
    CredentialCodec,
    codec_table,
    decode_credential,
    merge_tokens,
    to_bytes,
)
from cliproxy.credentials.model import CredentialKind, ModelEntry
from cliproxy.errors import CredentialError, Treatment
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.secret import Secret

CODECS = codec_table(
    [
        CredentialCodec(
            type="gitlab",
            provider="gitlab",
            tokens=("personal_access_token", "access_token", "refresh_token"),
        ),
        CredentialCodec(
            type="gemini",
            provider="gemini-cli",
            other_types=("gemini-cli",),
            tokens=("token.refresh_token", "token.access_token", "access_token"),
        ),
        CredentialCodec(
            type="vertex", provider="vertex", tokens=("service_account",), label_from=("project_id",)
        ),
    ]
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.one_of(TEXT, st.sampled_from(sorted(SETTINGS | {"token", "access_token", "email", "type"})))
OBJECTS = st.dictionaries(MEMBERS, JSON, max_size=6)

GITLAB = {
    "type": "gitlab",
    "auth_method": "oauth",
    "base_url": "https://gitlab.example.com/",
    "access_token": "secret-access",
    "refresh_token": "secret-refresh",
    "username": "jo",
    "email": "jo@example.com",
    "duo_gateway_headers": {"X-Gitlab-Realm": "saas"},
    "unknown": {"kept": [1]},
}


def decode(data, name="file.json"):
    return decode_credential(name, dumps(data), CODECS)


def credential(**settings):
    decoded = decode({**GITLAB, **settings})
    assert decoded.warnings == ()
    return decoded.credential


# ------------------------------------------------------------------------------------------------- reading


def test_a_file_becomes_a_credential():
    found = credential()
    assert (found.id, found.source) == ("file.json", "file.json")
    assert (found.provider, found.kind, found.label) == ("gitlab", CredentialKind.ACCOUNT, "jo@example.com")
    assert found.base_url == "https://gitlab.example.com"
    assert dict(found.data) == GITLAB


def test_the_type_leads_to_the_provider():
    assert decode({"type": " Gemini ", "access_token": "x"}).credential.provider == "gemini-cli"
    assert decode({"type": "gemini-cli", "token": {"refresh_token": "x"}}).credential.provider == "gemini-cli"


def test_the_label_is_the_first_that_there_is():
    assert credential(label="Work").label == "Work"
    assert credential(email="", label=" ").label == "jo"
    assert (
        decode({"type": "vertex", "service_account": {"a": 1}, "project_id": "p1"}).credential.label == "p1"
    )
    assert decode({"type": "vertex", "service_account": {"a": 1}}).credential.label == "vertex"


def test_settings_are_read():
    found = credential(
        proxy_url=" socks5://u:pw@h ",
        prefix="/team/",
        priority="7",
        weight=3,
        note=" mine ",
        headers={"X-A": " 1 "},
        excluded_models=["Foo*", "foo*"],
        model_aliases=[{"name": "a", "alias": "b"}, {"name": "c", "alias": "d", "fork": True}],
        disable_cooling="true",
        request_retry=0,
        websockets=True,
        disabled=True,
    )
    assert found.proxy_url == Secret("socks5://u:pw@h")
    assert (found.prefix, found.priority, found.weight, found.note) == ("team", 7, 3, "mine")
    assert found.headers == {"X-A": "1"}
    assert found.excluded_models == ("foo*",)
    assert found.model_aliases == (
        ModelEntry(name="a", alias="b"),
        ModelEntry(name="c", alias="d", fork=True),
    )
    assert (found.disable_cooling, found.request_retry) == (True, 0)
    assert found.websockets
    assert found.disabled


def test_settings_may_be_spelled_with_hyphens():
    found = credential(**{"proxy-url": "direct", "excluded-models": ["a"], "disable-cooling": False})
    assert (found.proxy_url, found.excluded_models, found.disable_cooling) == (
        Secret("direct"),
        ("a",),
        False,
    )


def test_whole_numbers_may_be_written_with_a_fraction_of_nothing():
    assert credential(priority=3.0).priority == 3


@pytest.mark.parametrize("hyphen", ["-", "_"])
def test_rules_about_errors_are_read(hyphen):
    rule = {"status": 403, "match": "plan", f"match{hyphen}regexr": ["a+"], "action": "Continue"}
    data = {**GITLAB, f"request{hyphen}scoped{hyphen}errors": [rule]}
    decoded = decode_credential("a.json", dumps(data), CODECS)
    [found] = decoded.credential.error_rules
    assert decoded.warnings == ()
    assert (found.status, found.texts, found.treatment) == (403, ("plan",), Treatment.GO_ON)
    assert [pattern.pattern for pattern in found.patterns] == ["a+"]


@pytest.mark.parametrize("rule", [{"match-regexr": ["canary("]}, {"action": "canary"}])
def test_a_rule_that_makes_no_sense_is_left_out(rule):
    data = {**GITLAB, "request_scoped_errors": [rule, {"status": 500}]}
    decoded = decode_credential("a.json", dumps(data), CODECS)
    [warning] = decoded.warnings
    assert warning.startswith("a.json: `request_scoped_errors`")
    assert "canary" not in warning
    assert [found.status for found in decoded.credential.error_rules] == [500]


def test_a_file_without_settings_has_the_defaults():
    found = credential()
    assert found.proxy_url is None
    assert (found.priority, found.weight, found.disabled, found.prefix) == (0, 1, False, "")
    assert (found.disable_cooling, found.request_retry) == (None, None)


@pytest.mark.parametrize(
    ("value", "disabled"),
    [(False, False), ("false", False), (0, False), ("", False), (None, False), ("yes", True), (1, True)],
)
def test_disabled_in_its_spellings(value, disabled):
    assert credential(disabled=value).disabled is disabled


@pytest.mark.parametrize("value", ["perhaps", 2, [], {"a": 1}])
def test_an_unclear_disabled_disables(value):
    decoded = decode({**GITLAB, "disabled": value})
    assert decoded.credential.disabled
    assert "not used" in decoded.warnings[0]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("priority", "high"),
        ("priority", 1.5),
        ("priority", True),
        ("priority", "9" * 5000),
        ("request_retry", []),
        ("websockets", "perhaps"),
        ("prefix", "a/b"),
        ("headers", {"Bad Name": "x"}),
        ("headers", {"X": 1}),
        ("headers", {"X": "a\r\nb"}),
        ("model_aliases", [{"name": "a"}]),
        ("proxy_url", "ftp://u:canary@x"),
    ],
)
def test_a_setting_that_makes_no_sense_is_warned_about_by_name_only(member, value):
    decoded = decode({**GITLAB, member: value})
    [warning] = decoded.warnings
    assert warning.startswith(f"file.json: `{member}`")
    assert "canary" not in warning
    assert not decoded.credential.disabled


def test_a_wrong_proxy_is_kept_so_that_nothing_goes_out_directly():
    assert decode({**GITLAB, "proxy_url": "nonsense"}).credential.proxy_url == Secret("nonsense")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b'{"access_token": "canary"}', "has no `type`"),
        (b'{"type": 5, "access_token": "canary"}', "has no `type`"),
        (
            b'{"type": "claude", "access_token": "canary"}',
            "`claude`, which is not known; known types: gemini, gemini-cli, gitlab, vertex",
        ),
        (b'{"type": "gitlab"}', "holds no token: personal_access_token or access_token or refresh_token"),
        (b'{"type": "gitlab", "access_token": " "}', "holds no token"),
        (b'{"type": "gemini", "token": {"access_token": ""}}', "holds no token"),
        (b'{"type": "gemini", "token": "canary"}', "holds no token"),
        (b'{"type": "vertex", "service_account": {}}', "holds no token"),
    ],
)
def test_a_file_that_cannot_serve_is_named_with_the_reason(raw, reason):
    with pytest.raises(CredentialError) as caught:
        decode_credential("my-file.json", raw, CODECS)
    assert str(caught.value).startswith("my-file.json: ")
    assert reason in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_provider_may_need_no_token_at_all():
    table = codec_table([CredentialCodec(type="open", provider="open")])
    assert decode_credential("a.json", b'{"type":"open"}', table).credential.provider == "open"


def test_two_codecs_cannot_read_the_same_type():
    with pytest.raises(AssertionError):
        codec_table(
            [
                CredentialCodec(type="a", provider="x"),
                CredentialCodec(type="b", provider="y", other_types=("a",)),
            ]
        )


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_our_own_words(raw):
    with pytest.raises(CredentialError):
        decode_credential("x.json", raw, CODECS)


@given(OBJECTS)
def test_any_object_of_a_known_type_with_a_token_is_read(data):
    found = decode({**data, "type": "gitlab", "access_token": "x"}).credential
    assert found.data["access_token"] == "x"


# ------------------------------------------------------------------------------------------------- writing


@given(OBJECTS)
def test_what_is_written_reads_back(data):
    assert loads_object(to_bytes(data)) == data


def test_a_file_is_readable_by_people():
    assert to_bytes({"type": "x", "a": {"b": [1, 2]}}) == b'{\n  "type": "x",\n  "a": {"b":[1,2]}\n}\n'
    assert to_bytes({}) == b"{}\n"


def test_what_json_cannot_say_is_not_written():
    with pytest.raises(CredentialError):
        to_bytes({"n": float("inf")})


@given(OBJECTS, OBJECTS)
def test_merging_loses_no_member_and_no_setting(data, patch):
    merged = merge_tokens(data, patch)
    assert set(merged) == set(data) | set(patch)
    for name, value in data.items():
        if name in SETTINGS or name not in patch:
            assert merged[name] == value


@given(OBJECTS)
def test_merging_nothing_changes_nothing(data):
    assert merge_tokens(data, {}) == data
    assert merge_tokens(data, data) == data


def test_new_tokens_replace_the_old_ones():
    merged = merge_tokens(
        GITLAB, {"access_token": "new", "refresh_token": "newer", "duo_gateway_headers": {"a": "b"}}
    )
    assert (merged["access_token"], merged["refresh_token"]) == ("new", "newer")
    assert merged["duo_gateway_headers"] == {"a": "b"}
    assert merged["unknown"] == GITLAB["unknown"]


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_answer_without_news_keeps_what_is_known(nothing):
    merged = merge_tokens(GITLAB, {"refresh_token": nothing, "email": nothing, "id_token": nothing})
    assert merged["refresh_token"] == "secret-refresh"
    assert merged["email"] == "jo@example.com"
    assert merged["id_token"] == nothing


def test_the_owners_settings_survive_a_login_however_they_are_spelled():
    data = {**GITLAB, "disabled": True, "proxy-url": "direct", "note": ""}
    merged = merge_tokens(data, {"disabled": False, "proxy_url": "http://x", "note": "n", "label": "L"})
    assert merged["disabled"] is True
    assert merged["proxy-url"] == "direct"
    assert "proxy_url" not in merged
    assert merged["note"] == ""
    assert merged["label"] == "L"


def test_a_token_object_is_merged_member_by_member():
    data = {"type": "gemini", "token": {"access_token": "a", "refresh_token": "r", "scopes": ["s"]}}
    merged = merge_tokens(data, {"token": {"access_token": "b", "refresh_token": "", "expiry": "t"}})
    assert merged["token"] == {"access_token": "b", "refresh_token": "r", "scopes": ["s"], "expiry": "t"}


def test_merging_leaves_its_arguments_alone():
    data, patch = {"a": 1, "token": {"x": 1}}, {"a": 2, "token": {"x": 2}}
    merge_tokens(data, patch)
    assert data == {"a": 1, "token": {"x": 1}}
    assert patch == {"a": 2, "token": {"x": 2}}
