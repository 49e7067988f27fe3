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


def test_the_strict_rules_hold_where_the_program_waits() -> None:
    assert async_rules.is_strict(async_rules.PACKAGE / "net/http.py")
    assert not async_rules.is_strict(async_rules.PACKAGE / "server/app.py")
    assert not async_rules.is_strict(async_rules.PACKAGE / "network.py")
