"""The search for garbage: not while starting, and afterwards only among what is new."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from cliproxy.cli.collector import YOUNG_OBJECTS, paused

SERVING = """
import gc, os, signal, sys, threading, time

def watch():
    while not gc.get_freeze_count():
        time.sleep(0.01)
    time.sleep(0.2)
    print("settled", gc.isenabled(), gc.get_threshold()[0], file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

full = []
gc.callbacks.append(lambda phase, info: full.append(phase) if info["generation"] == 2 else None)
threading.Thread(target=watch, daemon=True).start()
from cliproxy.cli import main
code = main(["server", "-demo", "-host", "127.0.0.1", "-port", "0", "-config", sys.argv[1]])
print("searched", len(full), file=sys.stderr)
raise SystemExit(code)
"""


@pytest.mark.parametrize("fails", [False, True])
def test_there_is_no_search_meanwhile_and_one_afterwards(*, fails: bool) -> None:
    was_on: list[bool] = []

    def work() -> None:
        with paused():
            was_on.append(gc.isenabled())
            if fails:
                raise ValueError

    if fails:
        with pytest.raises(ValueError, match=r"^$"):
            work()
    else:
        work()
    assert was_on == [False]
    assert gc.isenabled()


def test_a_server_starts_without_a_full_search_and_keeps_what_is_there(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("debug: false\n")
    command = [sys.executable, "-c", SERVING, str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"settled True {YOUNG_OBJECTS}\n" in ended.stderr
    assert "searched 0\n" in ended.stderr
