"""Conversations without signatures."""

from attrs import asdict
from hypothesis import given

from cliproxy.ir.request import (
    Family,
    Image,
    IRRequest,
    Message,
    Opaque,
    Part,
    Remote,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.unsigned import without_signatures
from cliproxy.wire.jsontext import JsonValue
from support.ir_strategies import requests

OWN = Signature("s", Family.CLAUDE)


def bare(*parts: Part) -> list[Part]:
    (message,) = without_signatures(IRRequest(model="m", messages=[Message("assistant", [*parts])])).messages
    return message.parts


def test_words_stay_and_signatures_go() -> None:
    signed = [
        Thinking("why", OWN, item_id="rs_1"),
        Text("a", signature=OWN),
        ToolCall("c", "f", "{}", signature=OWN, item_id="fc_1"),
        Image(Remote("https://x"), signature=OWN),
    ]
    assert bare(*signed) == [
        Thinking("why"),
        Text("a"),
        ToolCall("c", "f", "{}"),
        Image(Remote("https://x")),
    ]


def test_reasoning_that_is_nothing_but_a_signature_is_gone() -> None:
    assert bare(Thinking(redacted=OWN), Thinking("", OWN)) == []


def test_summary_of_hidden_reasoning_stays_readable() -> None:
    assert bare(Thinking("why", redacted=OWN, summary=["why"])) == [Thinking("why", summary=["why"])]


def test_part_of_one_dialect_alone_loses_no_more_than_its_signature() -> None:
    code = {"executableCode": {"code": "1"}, "thoughtSignature": "s"}
    assert bare(Opaque("gemini", "executableCode", code)) == [
        Opaque("gemini", "executableCode", {"executableCode": {"code": "1"}})
    ]


def test_ids_that_tie_a_turn_to_its_reasoning_go_with_it() -> None:
    said = Message(
        "assistant", [Text("a")], extras={"openai-response": {"id": "msg_1", "status": "completed"}}
    )
    asked = Message("user", [Text("q")], extras={"openai-response": {"id": "msg_0"}})
    request = without_signatures(IRRequest(model="m", messages=[asked, said]))
    assert request.messages == [
        asked,
        Message("assistant", [Text("a")], extras={"openai-response": {"status": "completed"}}),
    ]


def test_results_are_the_clients_words() -> None:
    answered = Message("user", [ToolResult("c", [Text("r")])])
    assert without_signatures(IRRequest(model="m", messages=[answered])).messages == [answered]


@given(requests())
def test_no_signature_survives_and_a_second_time_changes_nothing(request: IRRequest) -> None:
    once = without_signatures(request)
    for message in once.messages:
        if message.role == "assistant":
            assert not any(_signatures(asdict(part, recurse=False)) for part in message.parts)
    assert without_signatures(once) == once


def _signatures(members: dict[str, JsonValue]) -> list[JsonValue]:
    return [members[name] for name in ("signature", "redacted") if members.get(name) is not None]
