"""Model lists as Anthropic's clients read them."""

from cliproxy.dialects.base import ListedModel
from cliproxy.dialects.claude.models import MODEL_LISTS, claims, encode_list, encode_one
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.wire.jsontext import JsonValue

MODEL = ListedModel(
    id="m",
    display_name="M",
    owned_by="o",
    created=1_700_000_000,
    context_tokens=9,
    output_tokens=5,
    thinking=ThinkingSupport(min_budget=1024, max_budget=128_000, zero_allowed=True),
)


def test_one_model() -> None:
    assert encode_one(MODEL) == {
        "type": "model",
        "object": "model",
        "id": "m",
        "display_name": "M",
        "created_at": "2023-11-14T22:13:20Z",
        "owned_by": "o",
        "max_input_tokens": 9,
        "max_tokens": 5,
        "thinking": True,
        "extended_thinking": {
            "supported": True,
            "min": 1024,
            "max": 128_000,
            "zero_allowed": True,
            "dynamic_allowed": False,
        },
    }


def test_how_much_a_model_can_think() -> None:
    def told(support: ThinkingSupport) -> JsonValue:
        return encode_one(ListedModel(id="m", thinking=support))["extended_thinking"]

    assert told(ThinkingSupport()) == {"supported": False}
    adaptive = {"supported": True, "zero_allowed": False, "dynamic_allowed": False}
    assert told(ThinkingSupport(adaptive=True)) == adaptive


def test_what_is_not_known_is_left_out() -> None:
    rendered = encode_one(ListedModel(id="m"))
    assert rendered["display_name"] == "m"
    assert not {"max_input_tokens", "max_tokens", "thinking", "extended_thinking"} & set(rendered)


def test_the_ends_of_the_list_are_named() -> None:
    listed = encode_list([MODEL, ListedModel(id="z")])
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("m", "z", False)
    assert encode_list([])["first_id"] is None


def test_its_clients_are_known_by_their_headers() -> None:
    assert claims({"anthropic-version": "2023-06-01"}, {})
    assert claims({"user-agent": "claude-cli/2.1 (external)"}, {})
    assert not claims({"user-agent": "curl/8"}, {})
    assert MODEL_LISTS.paths == ("/v1/models",)
