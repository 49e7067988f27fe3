"""Citations of other dialects."""

import pytest

from cliproxy.dialects.openai_responses.annotations import to_annotation

PAGE = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 2, "end_index": 9}


@pytest.mark.parametrize("dialect", ["openai-response", "codex"])
def test_annotations_of_this_wire_stay_what_they_are(dialect):
    odd = {"type": "file_citation", "file_id": "f"}
    assert to_annotation(odd, dialect, 2, 9) is odd


@pytest.mark.parametrize(
    "citation",
    [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://x", "title": "X", "start_index": 2, "end_index": 9},
        },
        {"type": "web_search_result_location", "url": "https://x", "title": "X", "cited_text": "…"},
        {"web": {"uri": "https://x", "title": "X"}},
    ],
    ids=["chat", "claude", "gemini"],
)
def test_pages_become_url_citations(citation):
    assert to_annotation(citation, "other", 2, 9) == PAGE


def test_page_without_a_title_is_titled_by_its_address():
    assert to_annotation({"url": "https://x"}, "claude", 0, 1)["title"] == "https://x"


def test_citations_of_documents_are_handed_over():
    citation = {"type": "char_location", "document_index": 0, "cited_text": "a"}
    assert to_annotation(citation, "claude", 0, 1) is citation
