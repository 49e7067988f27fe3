"""The help text lists everything, without importing anything heavy."""

import subprocess
import sys

from cliproxy import __version__
from cliproxy.cli.flags import COMMANDS, FLAGS, LOGINS
from cliproxy.cli.usage import help_text, version_text


def test_everything_is_listed() -> None:
    text = help_text()
    for name in COMMANDS:
        assert f"\n  {name} " in text
    for flag in (*FLAGS, *LOGINS):
        assert (f"-{flag.name} " in text) is not getattr(flag, "is_hidden", False)


def test_what_is_not_available_yet_says_so() -> None:
    lines = {line.split()[0]: line for line in help_text().splitlines() if line.startswith("  -")}
    for login in LOGINS:
        assert ("Not available yet" in lines[f"-{login.name}"]) is not login.is_available


def test_the_version() -> None:
    assert version_text() == f"cliproxy {__version__}"


def test_help_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, cliproxy.cli as c; c.main(['--help']); c.main(['-nonsense']);"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in "
        "('trio', 'attrs', 'attr', 'yaml', 'quart', 'hypercorn', 'httpx2', 'cattrs')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
