"""Translations from one dialect into another, case by case, as the files of ``tests/vectors`` state them."""

import pytest

from support import vectors
from support.vectors import Vector, differences, leads_somewhere, read

VECTORS = vectors.load()
COUNT = 174


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
async def test_vector(vector: Vector, autojump_clock: object) -> None:
    assert await vectors.complaints(vector) == []


def test_every_number_is_there_once() -> None:
    numbers = [vector.number for vector in VECTORS]
    assert sorted(numbers) == [*range(1, COUNT + 1)]


def test_every_file_is_about_a_topic() -> None:
    assert {path.name for path in vectors.FOLDER.iterdir()} == {f"{topic}.yaml" for topic in vectors.TOPICS}


# --- the reader of the files refuses what would test nothing ------------------------------------------------

ENTRY = "- {id: 001-a, about: why, kind: request, from: openai, to: claude, input: {}, expect: {}}"


def test_a_complete_entry_is_read() -> None:
    [vector] = read(ENTRY)
    assert (vector.number, vector.client, vector.upstream) == (1, "openai", "claude")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1", "not a list"),
        ("- just text", "not an entry"),
        (ENTRY.replace("expect", "expects"), "unknown members"),
        (ENTRY.replace("001-a", "1-a"), "three digits"),
        (ENTRY.replace("about: why", "about: ''"), "nothing about itself"),
        (ENTRY.replace("kind: request", "kind: wish"), "kind is one of"),
        (ENTRY.replace(", expect: {}", ""), "expects nothing"),
        (ENTRY.replace("to: claude", "to: claude, to: gemini"), "given twice"),
    ],
)
def test_a_faulty_entry_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read(text)


def test_a_case_replaces_members_of_its_entry() -> None:
    [vector] = read(ENTRY.replace("to: claude", "cases: [{to: claude}, {to: gemini, model: m}]"))
    assert [(case.source, case.target, case.model) for case in vector.cases] == [
        ("openai", "claude", ""),
        ("openai", "gemini", "m"),
    ]


# --- comparing can fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": "…"}, {"a": None}),
        ([1, "…"], [1, {"b": 2}]),
        (["…*", 2, "…*"], [1, 2, 3]),
        (["…*", {"a": 1}], [{"a": 2}, {"a": 1, "b": 1}]),
        (["…*"], []),
        ("resp_…", "resp_1"),
        (["@one", "@two", "@one"], ["a", "b", "a"]),
        (["…*", "@one", "@one"], ["a", "b", "b"]),
        (1.0, 1),
    ],
)
def test_matches(expected: object, actual: object) -> None:
    assert differences(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "complaint"),
    [
        ({"a": 1}, {}, ".a is missing"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ".a.b is 2, not 1"),
        ([1], [1, 2], " has 2 items, not 1"),
        ([1, 2], [2, 1], "[0] is 2, not 1"),
        (["…*", 2], [2, 3], " does not have these items in this order: ['…*', 2]"),
        (["@one", "@one"], ["a", "b"], "[1] is 'b', not 'a' like @one before"),
        (["@one", "@two"], ["a", "a"], "[1] is 'a', which is @one"),
        (1, True, " is True, not 1"),
        ("a", "A", " is 'A', not 'a'"),
        ("resp_…", "msg_1", " is 'msg_1', not 'resp_…'"),
        ({}, [], " is [], not {}"),
    ],
)
def test_differs(expected: object, actual: object, complaint: str) -> None:
    assert differences(expected, actual)[0] == complaint


def test_an_exact_comparison_wants_nothing_more() -> None:
    assert differences({"a": {}}, {"a": {"b": 1}}, exact=True) == [".a.b was not expected"]


@pytest.mark.parametrize(
    ("path", "found"), [("a.0.b", True), ("a.*.b", True), ("a.1", False), ("a.b", False)]
)
def test_paths(path: str, found: bool) -> None:
    assert leads_somewhere(path, {"a": [{"b": None}]}) is found
