"""Citations of other dialects as annotations of this one.

This wire knows citations of web pages (``url_citation``, with the span of the answer they support) and of
uploaded files. Other dialects say the same in other words; what names a page becomes a ``url_citation``, and
everything else is handed over as it is, since a client that shows citations may still make sense of it.
"""

from cliproxy.dialects.openai_responses.names import NATIVE
from cliproxy.wire.jsontext import JsonObject, child, integer, text


def to_annotation(citation: JsonObject, dialect: str, start: int, end: int) -> JsonObject:
    """Write a citation; ``start`` and ``end`` are the span of the text it was given for."""
    if dialect in NATIVE:
        return citation
    inner = child(citation, "url_citation") or child(citation, "web") or citation
    url = text(inner, "url") or text(inner, "uri")
    if not url:
        return citation
    said_start, said_end = integer(inner, "start_index"), integer(inner, "end_index")
    return {
        "type": "url_citation",
        "url": url,
        "title": text(inner, "title") or url,
        "start_index": start if said_start is None else said_start,
        "end_index": end if said_end is None else said_end,
    }
