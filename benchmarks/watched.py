"""The server with a window in it: ``python -m benchmarks.watched REPORT ARGUMENT...``.

It runs the program with these arguments, unchanged but for one thing: on SIGUSR1 it writes to ``REPORT`` how
many tasks live and how many objects the collector watches, after a collection. From outside neither can be
seen.
"""

import gc
import json
import signal
import sys
from pathlib import Path

import trio

from cliproxy.__main__ import main


def watch(report: Path) -> None:
    """Write the figures whenever they are asked for. A file that is there is complete."""

    def write(*_: object) -> None:
        gc.collect()
        tasks = trio.lowlevel.current_statistics().tasks_living
        unfinished = report.with_suffix(".part")
        unfinished.write_text(json.dumps({"tasks": tasks, "objects": len(gc.get_objects())}))
        unfinished.rename(report)

    signal.signal(signal.SIGUSR1, write)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
