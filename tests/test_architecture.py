"""The source tree obeys its own rules, and each rule can be broken.

The first half applies :mod:`support.architecture` to the package, one test per module so that a failure names
its file. The second half shows every rule complaining about a few invented lines: a rule that cannot fail
guards nothing.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support import architecture
from support.architecture import Complaints, Module, parse

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / architecture.PACKAGE
MODULES = architecture.modules_in(PACKAGE)
MEMBERS = {room: architecture.members_of(room, MODULES) for room in architecture.TUPLES}

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.path))


def test_there_is_something_to_check() -> None:
    """A moved package must not turn every check below into an empty loop."""
    assert {"errors", "wire", "ir"} <= {module.room for module in MODULES}


@each_module
def test_module_obeys(module: Module) -> None:
    complaints = [complaint for rule in architecture.RULES for complaint in rule(module)]
    complaints += architecture.members_unnamed(module, MEMBERS)
    assert complaints == []


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if architecture.tests_of(module)],
    ids=lambda module: str(module.path),
)
def test_module_has_its_own_tests(module: Module) -> None:
    """Every source module has the test module that mirrors its path."""
    tests = TESTS / str(architecture.tests_of(module))
    assert tests.is_file(), f"missing: tests/{architecture.tests_of(module)}"


@pytest.mark.parametrize("room", architecture.TUPLES)
def test_every_member_is_in_the_tuple_of_its_room(room: str) -> None:
    assert architecture.unlisted_members(room, MODULES) == frozenset()


def test_tests_wait_in_virtual_time() -> None:
    """A test file that sleeps takes the clock that jumps, and so waits for nothing."""
    sleepy = [
        path.relative_to(TESTS).as_posix()
        for path in sorted(TESTS.rglob("test_*.py"))
        if path != Path(__file__)
        and re.search(r"trio\.sleep\((?!0\))", text := path.read_text(encoding="utf-8"))
        and not re.search(r"autojump_clock|MockClock", text)
    ]
    assert sleepy == []


# --------------------------------------------------------------------------- each rule can be broken


@pytest.mark.parametrize(
    ("rule", "path", "text", "complaint"),
    [
        (architecture.import_direction, "wire/a.py", "import cliproxy.ir.request", "wire must not import ir"),
        (
            architecture.import_direction,
            "ir/a.py",
            "from cliproxy import dialects",
            "ir must not import dialects",
        ),
        (
            architecture.import_direction,
            "net/a.py",
            "from cliproxy.routing import pick",
            "net must not import routing",
        ),
        (architecture.import_direction, "ir/a.py", "from . import request", "relative import"),
        (
            architecture.import_direction,
            "dialects/claude/stream.py",
            "from cliproxy.dialects.gemini.stream import read",
            "dialects/claude must not import dialects/gemini",
        ),
        (
            architecture.import_direction,
            "providers/gitlab.py",
            "from cliproxy.providers import claude",
            "providers/gitlab must not import providers/claude",
        ),
        (
            architecture.import_direction,
            "providers/gitlab.py",
            "def late():\n    from cliproxy.net import http",
            "line 2: providers must not import net",
        ),
        (architecture.room_is_known, "misc/text.py", "", "misc is not a room"),
        (architecture.libraries_at_home, "ir/a.py", "import trio", "trio is for"),
        (architecture.libraries_at_home, "ir/a.py", "import time", "time is for"),
        (architecture.libraries_at_home, "service/a.py", "import asyncio", "asyncio is for nobody"),
        (architecture.libraries_at_home, "service/a.py", "from quart import Quart", "quart is for server"),
        (
            architecture.libraries_at_home,
            "exchange/a.py",
            "import httpx2 as httpx",
            "httpx2 is for net/http.py",
        ),
        (architecture.libraries_at_home, "ir/a.py", "import json", "json is for wire/jsontext.py"),
        (architecture.no_clock_no_chance, "routing/a.py", "import random", "chance is an argument"),
        (
            architecture.no_clock_no_chance,
            "routing/a.py",
            "from random import choice",
            "chance is an argument",
        ),
        (
            architecture.no_clock_no_chance,
            "ir/a.py",
            "from datetime import datetime\nnow = datetime.now()",
            "line 2: datetime.now() reads the outside world",
        ),
        (architecture.no_clock_no_chance, "config/a.py", "text = open('x').read()", "open() reads"),
        (
            architecture.flags_are_light,
            "cli/flags.py",
            "from cliproxy import __version__",
            "standard library only",
        ),
        (architecture.sizes, "ir/a.py", "x = 1\n" * 701, "701 lines, more than 700"),
        (architecture.sizes, "ir/a.py", "def f():\n" + "    x = 1\n" * 60, "line 1: f has 61 lines"),
        (architecture.has_docstring, "ir/a.py", "x = 1", "no docstring"),
        (architecture.package_names_its_offer, "ir/__init__.py", '"""Doc."""', "no __all__"),
    ],
)
def test_rule_complains(rule: Callable[[Module], Complaints], path: str, text: str, complaint: str) -> None:
    complaints = rule(parse(path, text))
    assert len(complaints) == 1
    assert complaint in complaints[0]


def test_every_rule_is_shown_complaining() -> None:
    shown = {row[0] for row in test_rule_complains.pytestmark[0].args[1]}
    assert shown == set(architecture.RULES)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("__main__.py", "from cliproxy.cli import main"),
        ("dialects/codex.py", "from cliproxy.dialects.openai_responses import request"),
        ("dialects/claude/stream.py", "from cliproxy.dialects.claude.request import read"),
        ("dialects/__init__.py", '"""Doc."""\nfrom cliproxy.dialects import claude\n__all__: list[str] = []'),
        ("providers/gitlab.py", "from cliproxy.providers.base import Provider"),
        ("routing/select.py", "from random import Random"),
        ("net/http.py", "import httpx2 as httpx\nimport trio"),
        ("login/pkce.py", "import secrets"),
        ("cli/flags.py", "import argparse"),
    ],
)
def test_rules_allow(path: str, text: str) -> None:
    module = parse(path, f'"""Doc."""\n{text}\n')
    assert [complaint for rule in architecture.RULES for complaint in rule(module)] == []


ANY_MEMBERS = {"dialects": frozenset({"claude", "gemini_cli"}), "providers": frozenset({"claude", "gitlab"})}


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        (
            "server/a.py",
            "from cliproxy.providers.gitlab import PROVIDER",
            "must not know gitlab of providers",
        ),
        ("server/a.py", "from cliproxy.providers import gitlab", "must not know gitlab of providers"),
        ("exchange/a.py", "import cliproxy.dialects.claude.stream", "must not know claude of dialects"),
        ("routing/a.py", "if key == 'gitlab': pass", "must not say 'gitlab'"),
        ("service/a.py", "if key == 'gemini-cli': pass", "must not say 'gemini-cli'"),
    ],
)
def test_naming_a_member_in_the_engine_is_a_complaint(path: str, text: str, complaint: str) -> None:
    [found] = architecture.members_unnamed(parse(path, text), ANY_MEMBERS)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("server/a.py", "from cliproxy.providers import PROVIDERS"),
        ("server/a.py", "from cliproxy.dialects.claude import errors"),
        ("server/a.py", "dialect = 'claude'"),
        ("exchange/a.py", "from cliproxy.dialects.base import Dialect"),
        ("cli/a.py", "from cliproxy.providers.gitlab import PROVIDER"),
    ],
)
def test_the_contract_and_the_tuple_may_be_named(path: str, text: str) -> None:
    assert architecture.members_unnamed(parse(path, text), ANY_MEMBERS) == []


@pytest.mark.parametrize(
    ("index", "forgotten"),
    [
        ("from cliproxy.dialects import a, b\nDIALECTS = (a.DIALECT, b.DIALECT)", set()),
        ("from cliproxy.dialects.a import DIALECT as A\nDIALECTS: tuple[object, ...] = (A,)", {"b"}),
        ("from cliproxy.dialects import a, b\nDIALECTS = (b.DIALECT,)", {"a"}),
        ("from cliproxy.dialects import a, b\nOTHERS = (a.DIALECT, b.DIALECT)", {"a", "b"}),
        ("", {"a", "b"}),
    ],
)
def test_members_missing_in_the_tuple_are_found(index: str, forgotten: set[str]) -> None:
    modules = [
        parse("dialects/__init__.py", index),
        parse("dialects/base.py", ""),
        parse("dialects/a.py", ""),
        parse("dialects/b/stream.py", ""),
    ]
    assert architecture.unlisted_members("dialects", modules) == forgotten


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("errors.py", "test_errors.py"),
        ("wire/sse.py", "wire/test_sse.py"),
        ("dialects/claude/stream.py", "dialects/claude/test_stream.py"),
        ("wire/__init__.py", "None"),
        ("__main__.py", "None"),
    ],
)
def test_a_module_knows_where_its_tests_are(path: str, expected: str) -> None:
    assert str(architecture.tests_of(parse(path, "def work(): return 1"))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class A:\n    x: int = 1", True),
        ("class A:\n    def f(self) -> int: ...", True),
        ('class A:\n    def f(self) -> int:\n        """Say."""\n        ...', True),
        ("def f() -> int:\n    return 1", False),
        ("f = lambda: 1", False),
        ("async def f() -> None:\n    await g()", False),
    ],
)
def test_only_modules_that_do_something_need_tests(source: str, expected: bool) -> None:
    assert architecture.declares_only(parse("wire/x.py", source)) is expected
