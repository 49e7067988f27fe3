"""What the checker is told about this source tree."""

import pytest

import async_rules


def test_startable_functions_are_found_by_their_parameter(tmp_path) -> None:
    source = tmp_path / "a.py"
    source.write_text(
        "async def serve(port, *, task_status): ...\n"
        "class Pump:\n"
        "    async def run(self, task_status): ...\n"
        "async def other(): ...\n"
        "def plain(task_status): ...\n"
    )
    assert async_rules.startable_option([source]) == "--startable-in-context-manager=run,serve"


def test_a_missing_checkpoint_counts_for_public_coroutines(tmp_path) -> None:
    (tmp_path / "a.py").write_text(
        "async def open(): ...\n"
        "class A:\n"
        "    async def _part(self): ...\n"
        "    async def __aenter__(self): ...\n"
    )
    said = "a.py:1:1: ASYNC910 exit from async function since function definition on line {}."
    about_private = [line for line in (1, 3, 4) if async_rules.is_about_private(said.format(line), tmp_path)]
    assert about_private == [3]
    assert not async_rules.is_about_private("a.py:3:1: ASYNC100 something else", tmp_path)


def test_the_strict_rules_hold_where_the_program_waits() -> None:
    assert async_rules.is_strict(async_rules.PACKAGE / "net/http.py")
    assert not async_rules.is_strict(async_rules.PACKAGE / "server/app.py")
    assert not async_rules.is_strict(async_rules.PACKAGE / "network.py")


@pytest.mark.parametrize(
    ("source", "is_concerned"),
    [
        ("async def wait(): ...", True),
        ("import trio", True),
        ("try:\n    pass\nexcept:\n    pass", True),
        ("try:\n    pass\nexcept (OSError, BaseException):\n    pass", True),
        ("try:\n    pass\nexcept* OSError:\n    pass", True),
        ("for each in group.exceptions:\n    raise each", True),
        ("try:\n    pass\nexcept OSError:\n    pass", False),
        ("patriots = exceptional = 1", False),
    ],
)
def test_files_are_left_out_that_no_rule_can_be_about(source: str, *, is_concerned: bool) -> None:
    assert async_rules.is_concerned(source) is is_concerned


def test_every_file_is_in_one_part_and_the_parts_are_alike(tmp_path) -> None:
    for number in range(1, 8):
        (tmp_path / f"{number}.py").write_text("x" * number)
    files = sorted(tmp_path.iterdir())
    parts = async_rules.divided(files, 2)
    assert sorted(path for part in parts for path in part) == files
    assert [sum(path.stat().st_size for path in part) for part in parts] == [14, 14]
    assert async_rules.divided(files[:1], 3) == [files[:1]]
    assert async_rules.divided([], 3) == []


def test_what_is_found_in_any_file_counts(tmp_path, capfd) -> None:
    good, bad, dull = (tmp_path / name for name in ("good.py", "bad.py", "dull.py"))
    good.write_text("import trio\n\n\nasync def wait():\n    await trio.lowlevel.checkpoint()\n")
    bad.write_text("def swallow(work):\n    try:\n        work()\n    except BaseException:\n        pass\n")
    dull.write_text("x = 1\n")
    assert async_rules.main([str(good), str(dull)]) == 0
    assert capfd.readouterr().out == ""
    assert async_rules.main([str(good), str(bad), str(dull)]) == 1
    [said] = capfd.readouterr().out.splitlines()
    assert "bad.py:4:" in said
    assert "ASYNC103" in said


def test_the_strict_rules_are_added_for_strict_rooms(monkeypatch, tmp_path, capfd) -> None:
    source = (
        "import trio\n\n\nasync def wait(wanted):\n    if wanted:\n        await trio.lowlevel.checkpoint()\n"
    )
    for room in ("net", "server"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text(source)
    monkeypatch.setattr(async_rules, "PACKAGE", tmp_path)
    monkeypatch.setattr(async_rules, "ROOT", tmp_path)
    assert async_rules.main([]) == 1
    [said] = capfd.readouterr().out.splitlines()
    assert said.startswith("net/a.py:4:")
    assert "ASYNC910" in said
