"""What the checker is told about this source tree."""

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
