"""What all tests share: kinds of tests, one Hypothesis profile, and fixtures that several folders use."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.command_line import CommandLine
from tests.support.measurements import PROPERTY
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.measurements import Measured

KINDS = ("tools", "process", "property", "unit")
"""The markers of which every test has at least one, in the order in which the tests run: what takes long goes first."""
PROCESS_EVENTS = {"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"}
running_unit_test: list[str] = []

# A busy machine makes any example slow, so there is no deadline.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes a test without a marker a unit test, and sorts by kind."""
    for item in items:
        if not any(item.get_closest_marker(kind) for kind in KINDS):
            item.add_marker("unit")
    items.sort(key=lambda item: next(place for place, kind in enumerate(KINDS) if item.get_closest_marker(kind)))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives each test to the next free worker; a file whose tests share a costly fixture goes to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if shares_fixture(path) else nodeid


@functools.cache
def shares_fixture(path: str) -> bool:
    """Whether a file of tests has a fixture that is made once for the file."""
    return '(scope="module")' in (ROOT / path).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:  # noqa: ANN401 - xdist's logger
    """Returns the scheduler of parallel runs."""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Notes whether a unit test runs; see `refuse_processes`."""
    running_unit_test[:] = [item.nodeid] if item.get_closest_marker("unit") else []
    try:
        return (yield)
    finally:
        running_unit_test.clear()


def refuse_processes(event: str, _arguments: tuple[object, ...]) -> None:
    """Fails a unit test that starts a process."""
    if running_unit_test and event in PROCESS_EVENTS:
        raise AssertionError(f"a unit test starts no process; mark it `process` or `tools`: {running_unit_test[0]}")


sys.addaudithook(refuse_processes)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests have measured."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [found for report in reports for found in getattr(report, "user_properties", ())]
    if lines := dict.fromkeys(text for name, text in properties if name == PROPERTY):
        terminalreporter.section("measured")
        terminalreporter.write("".join(f"{text}\n" for text in lines))


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Gives a function that notes a line to print at the end of the run."""
    return lambda text: record_property(PROPERTY, text)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """Gives a command line in an empty folder."""
    cli = CommandLine(monkeypatch, capsys)
    cli.prepare(tmp_path)
    return cli
