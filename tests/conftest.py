"""What every test gets: an empty environment, a fixed way of exploring, and instruments to ask for by name.

**Environment.** A test sees no variable of the machine that could change what the program does: no keys, no
proxies, no configuration folders. ``HOME`` and the XDG folders are an empty directory of the test. A test
sets what it needs.

**Exploration.** Hypothesis runs the profile named by ``HYPOTHESIS_PROFILE``, else ``ci`` where ``CI`` is set,
else ``dev``. ``ci`` is derandomised: a red run can be repeated.

**Blocking.** ``blocking_detector`` fails a test in which one task keeps the event loop for more than 100 ms
of real time. It is for tests in virtual time; where real sockets and other processes share the machine,
slowness proves nothing.
"""

import importlib
import os
import time
from collections.abc import AsyncIterator, Generator

import hypothesis
import pytest
import trio

KEPT_VARIABLES = frozenset({"PATH", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "CI"})
KEPT_PREFIXES = ("LC_", "PYTEST_", "PYTHON", "COV_", "COVERAGE_", "HYPOTHESIS_", "CLIPROXY_TEST_")

LONGEST_STEP_S = 0.1
TABLES = {
    "tests/e2e/test_matrix": "support.matrix_table",
    "tests/e2e/test_faults": "support.faults_table",
}
"""What is written about tests at the end, by where they stand."""

hypothesis.settings.register_profile("dev", max_examples=100, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("long", max_examples=5_000, deadline=None)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the machine's environment from the test; its home is an empty directory."""
    for name in list(os.environ):
        if name not in KEPT_VARIABLES and not name.startswith(KEPT_PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
    ):
        monkeypatch.setenv(name, str(home / folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make what a test printed fit for what connects the test processes: half characters cannot cross."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the tables of what was tried, and of what was seen.

    This stands here as no other conftest is loaded by the process that writes the summary when others run the
    tests; and what a table imports takes more time than a small run does.
    """
    names = [getattr(each, "nodeid", "") for group in terminalreporter.stats.values() for each in group]
    for place, module in TABLES.items():
        if any(place in name for name in names):
            importlib.import_module(module).write_table(terminalreporter)


class BlockingDetector(trio.abc.Instrument):
    """Notes every task step that takes longer than ``longest_s`` of real time.

    trio switches an instrument off when it raises, so that a complaint made inside a hook would be lost: the
    steps are kept and judged when the test is over.
    """

    def __init__(self, longest_s: float = LONGEST_STEP_S) -> None:
        self.longest_s = longest_s
        self.slow_steps: list[str] = []
        self._started_at: float | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._started_at = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._started_at is None:
            return  # the step that added this instrument began before it could watch
        took_s = time.perf_counter() - self._started_at
        if took_s > self.longest_s:
            self.slow_steps.append(f"{task.name} kept the event loop for {took_s * 1000:.0f} ms")


@pytest.fixture
async def blocking_detector() -> AsyncIterator[BlockingDetector]:
    """Fail the test if one of its task steps blocks the event loop."""
    detector = BlockingDetector()
    trio.lowlevel.add_instrument(detector)
    yield detector
    trio.lowlevel.remove_instrument(detector)
    assert detector.slow_steps == []
