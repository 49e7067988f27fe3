"""Turn the fragments in changes/ into a section of CHANGELOG.md.

collect_changes.py --check             complain about misnamed or empty fragments
collect_changes.py VERSION YYYY-MM-DD  write the section and delete the fragments
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# type of fragment → heading, in the order of the change log; internal changes are not told to users
HEADINGS = {
    "removal": "Removed",
    "change": "Changed",
    "feature": "Added",
    "fix": "Fixed",
    "doc": "Documentation",
    "internal": None,
}
NAME = re.compile(r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<type>" + "|".join(HEADINGS) + r")\.md")
TITLE = "# Changes\n"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run one of the two commands."""
    fragments = sorted(path for path in (root / "changes").iterdir() if path.name != "README.md")
    problems = [problem for path in fragments if (problem := problem_of(path))]
    for problem in problems:
        print(problem)
    if problems or arguments == ["--check"]:
        return 1 if problems else 0
    match arguments:
        case [version, date]:
            write_section(root, section(version, date, fragments))
        case _:
            print(__doc__)
            return 2
    for path in fragments:
        path.unlink()
    return 0


def write_section(root: Path, text: str) -> None:
    """Put the newest section on top of the change log."""
    changelog = root / "CHANGELOG.md"
    earlier = changelog.read_text(encoding="utf-8").removeprefix(TITLE) if changelog.exists() else ""
    changelog.write_text(f"{TITLE}\n{text}{earlier}", encoding="utf-8")


def problem_of(path: Path) -> str | None:
    """Say what is wrong with a fragment, if anything."""
    if not NAME.fullmatch(path.name):
        return f"changes/{path.name}: the name must be <slug>.<{'|'.join(HEADINGS)}>.md"
    if not path.read_text(encoding="utf-8").strip():
        return f"changes/{path.name}: says nothing"
    return None


def section(version: str, date: str, fragments: list[Path]) -> str:
    """Return the text of one version, grouped by type."""
    lines = [f"## {version} ({date})", ""]
    for kind, heading in HEADINGS.items():
        texts = [
            path.read_text(encoding="utf-8").strip()
            for path in fragments
            if path.name.endswith(f".{kind}.md")
        ]
        if heading and texts:
            lines += [f"### {heading}", "", *(item(text) for text in texts), ""]
    return "\n".join(lines)


def item(text: str) -> str:
    """Return a fragment as an item of a list."""
    return "- " + text.replace("\n", "\n  ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
