"""Items that are found again, however an upstream names them."""

from cliproxy.dialects.openai_responses.ledger import Item, Ledger, Said


def message(index, *said, item_id=""):
    parts = {number: Said(number, [text]) for number, text in enumerate(said)}
    return Item("message", index, item_id, parts=parts)


def call(index, call_id="", item_id=""):
    return Item("function_call", index, item_id, call_id=call_id)


def ledger(*items):
    book = Ledger()
    for item in items:
        book.add(item)
    return book


def told(text, **members):
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **members}


def called(call_id, **members):
    return {"type": "function_call", "call_id": call_id, **members}


def test_what_a_whole_adds():
    said = Said(0, ["He", "llo"])
    assert said.missing("Hello you") == " you"
    assert said.missing("Bye") == ""


def test_items_are_in_the_order_of_their_places():
    first, second = message(2), message(5)
    assert list(ledger(second, first)) == [first, second]
    assert ledger(second).next_index() == 6
    assert Ledger().next_index() == 0


def test_event_finds_its_item_by_id_before_index():
    by_id, by_index = message(0, item_id="msg_1"), message(1, item_id="msg_2")
    book = ledger(by_id, by_index)
    assert book.of({"item_id": "msg_1", "output_index": 1}, "message") is by_id
    assert book.of({"item_id": "new", "output_index": 1}, "message") is by_index
    assert book.at(1) is by_index
    assert book.at(7) is None


def test_event_about_nothing_known_makes_an_item():
    book = ledger(message(0))
    item = book.of({"item_id": "rs_1"}, "reasoning")
    assert (item.kind, item.output_index, item.id) == ("reasoning", 1, "rs_1")
    assert book.of({"output_index": 9}, "message").output_index == 9


def test_entries_find_their_items_by_id():
    first, second = message(0, "a", item_id="msg_1"), message(1, "b", item_id="msg_2")
    assert ledger(first, second).claim([told("b", id="msg_2"), told("a", id="msg_1")]) == [second, first]


def test_entries_without_usable_ids_find_what_says_the_same():
    """The list lacks the reasoning, so that the places are one too small."""
    reasoning, text, tool = Item("reasoning", 0), message(1, "a"), call(2, "c1")
    book = ledger(reasoning, text, tool)
    assert book.claim([told("a", id="other"), called("c1", id="other2")]) == [text, tool]


def test_entry_at_the_place_is_preferred():
    first, second = message(0, "a"), message(1, "a")
    assert ledger(first, second).claim([told("x"), told("a")])[1] is second


def test_no_item_is_claimed_twice():
    first = message(0, "a", item_id="msg_1")
    (new, known) = ledger(first).claim([told("a"), told("a", id="msg_1")])
    assert known is first
    assert new is not first


def test_another_call_is_a_new_item():
    known = call(0, "c1")
    (new,) = ledger(known).claim([called("c2")])
    assert (new is known, new.output_index) == (False, 1)
    assert ledger(known).claim([called("")]) == [known], "an entry that does not say which call it is"


def test_another_text_is_a_new_item():
    known = message(0, "a")
    (new,) = ledger(known).claim([told("b")])
    assert new is not known
    assert ledger(known).claim([told("abc")]) == [known], "the rest of it was not streamed"


def test_id_of_another_kind_of_item_says_nothing():
    known = message(0, "a", item_id="x")
    (new,) = ledger(known).claim([called("c1", id="x")])
    assert new.kind == "function_call"
