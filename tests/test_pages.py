"""What the pages say is so: links lead somewhere, commands are understood, configurations load.

The English and the Chinese README say the same: they have the same commands, settings and links.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cliproxy.cli.flags import COMMANDS, FLAGS, LOGINS, parse
from cliproxy.config.load import examine

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "changes" / "README.md"]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ {4,}(?:\$ )?(?:sudo -u \S+ -H )?(?:\./cliproxy\.pyz|cliproxy) (.*)$", re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in addresses."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def commands(text: str) -> Iterator[list[str]]:
    """Iterate over the command lines of our program, without what output and remarks stand behind them."""
    for line in COMMAND.findall(text):
        words = shlex.split(line, comments=True)
        if words and (words[0].startswith("-") or words[0] in COMMANDS):
            yield [word for word in words if not word.startswith("[")]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@each_page
def test_commands_are_understood(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        parse(words)


@each_page
def test_configurations_load(page: Path) -> None:
    for indent, language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language != "yaml" or "scrape_configs" in body:
            continue
        found = examine("\n".join(line.removeprefix(indent) for line in body.splitlines()))
        assert [str(problem) for problem in (*found.errors, *found.unknown, *found.inactive)] == []


def test_there_are_commands_and_configurations_to_look_at() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(1 for text in texts for _ in commands(text)) > 25
    assert sum(language == "yaml" for text in texts for _, language, _ in BLOCK.findall(text)) > 10


def test_the_page_of_the_command_line_has_every_command_and_flag() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"| `{name}` |" in text
    for flag in FLAGS:
        assert flag.is_hidden or re.search(rf"`-{flag.name}[ `]", text), flag.name


def test_every_login_is_on_the_page_of_accounts() -> None:
    text = (ROOT / "docs" / "accounts" / "index.md").read_text(encoding="utf-8")
    for login in LOGINS:
        way = f"-{login.name}" if login.kind == "text" else f"login {login.provider}"
        assert not login.is_available or f"`{way}" in text, login.name


def test_both_languages_say_the_same() -> None:
    """As far as a machine can tell: links, headings, commands, and settings but for their remarks."""
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    for pattern in (
        r"\]\((?!README)([^)]+)\)",
        r"^(#+) ",
        r"^    (\S[^#{\n]*)",
        r"^ *(?:- )?[a-z-]+:(?= |$)",
        r"^\|",
        r"^\d\.",
        r"^\* ",
    ):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, chinese, re.MULTILINE)
