"""Hypothesis strategies for YAML values and for texts that say them in many layouts, comments included."""

from hypothesis import strategies as st

from cliproxy.config.render import block_lines, flow_text, scalar

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.one_of(
    st.sampled_from(["api-key", "port", "a", "b", "yes", "1", "null", "x y", "é", "<", "-", "a.b"]),
    TEXTS.filter(lambda text: text != "<<"),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["true", "12", "1.5", "~", "", "on", "2024-01-01", "a: b", "# x", "a #b", "a\nb", "https://x/v1"]
    ),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)

COMMENT = "# kept comment"


@st.composite
def layouts(draw, value):
    """Draw a text that says ``value``, a mapping, with comments, blank lines and mixed styles."""
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    lines = draw(_members(value)) if value else []
    if draw(st.booleans()):
        lines = [COMMENT, "", *lines]
    if draw(st.booleans()):
        lines = [*lines, COMMENT]
    text = newline.join(lines)
    return text + newline if draw(st.booleans()) else text


@st.composite
def _members(draw, value):
    lines = []
    for name, item in value.items():
        lines += draw(_noise())
        lines += draw(_under(f"{scalar(name)}:", item, draw(st.sampled_from([2, 2, 4]))))
    return lines


@st.composite
def _items(draw, value):
    lines = []
    for item in value:
        lines += draw(_noise())
        lines += draw(_behind_dash(item))
    return lines


@st.composite
def _behind_dash(draw, item):
    if item and isinstance(item, dict | list) and draw(st.integers(0, 3)):
        inner = draw(_members(item)) if isinstance(item, dict) else draw(_items(item))
        while inner and (not inner[0] or inner[0].lstrip().startswith("#")):
            inner = inner[1:]
        return [f"- {inner[0]}", *(f"  {line}" if line else "" for line in inner[1:])]
    return draw(_line("-", item))


@st.composite
def _under(draw, head, value, indent):
    if value and isinstance(value, dict | list) and draw(st.integers(0, 3)):
        inner = draw(_members(value)) if isinstance(value, dict) else draw(_items(value))
        if isinstance(value, list) and draw(st.booleans()):
            indent = 0
        remark = f" {COMMENT}" if draw(st.booleans()) else ""
        return [head + remark, *(f"{'':{indent}}{line}" if line else "" for line in inner)]
    return draw(_line(head, value))


@st.composite
def _line(draw, head, value):
    remark = f" {COMMENT}" if draw(st.integers(0, 3)) == 0 else ""
    if value is None and draw(st.booleans()):
        return [head + remark]
    if isinstance(value, dict | list):
        return [f"{head} {flow_text(value)}{remark}"]
    if isinstance(value, str) and value.isascii() and value.isalpha() and draw(st.booleans()):
        return [f"{head} |-", f"  {'' if head == '-' else ' '} {value}"]
    style = draw(st.sampled_from(["", "'", '"']))
    return [f"{head} {scalar(value, style)}{remark}"]


@st.composite
def _noise(draw):
    return draw(st.sampled_from([[], [], [], [""], [COMMENT], ["", COMMENT]]))


def plain_text(value):
    """Write a mapping in the plainest way."""
    return "".join(f"{line}\n" for line in block_lines(value)) if value else ""
