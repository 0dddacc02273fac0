"""Commands run in the process of the test, with their output and exit code."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.commands.cli import main
from tests.support.logging_state import restored_logging
from tests.support.real_servers import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.simulator.authentication import Key

CANARY = "canary0secret"
TOKEN = "canary0token"
NAMES = (
    '{"access_key_id_env": "A_KEY_ID", "access_key_secret_env": "A_KEY_SECRET", "security_token_env": "A_KEY_TOKEN"}'
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs commands in an environment of its own, and fails if one prints a secret."""

    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def prepare(self, folder: Path) -> None:
        """Removes what could matter from the environment, and changes to an empty folder."""
        for name in [name for name in os.environ if name.startswith(("IMS_EXPORTER_", "ALIBABA_CLOUD_"))]:
            self.patch.delenv(name)
        self.patch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        self.patch.setenv("NO_PROXY", "127.0.0.1")
        self.patch.chdir(folder)

    def target(self, endpoint: str, key: Key, **settings: object) -> None:
        """Sets the environment for one target and this key."""
        given = {
            "region_id": "cn-shanghai",
            "endpoint": endpoint,
            "credentials": NAMES,
            "ledger_path": ":memory:",
            "max_requests_per_second": 1000,
            "request_timeout_seconds": 30,
            **settings,
        }
        for name, value in given.items():
            self.patch.setenv(f"IMS_EXPORTER_{name.upper()}", str(value))
        for name, value in (("ID", key.key_id), ("SECRET", key.secret), ("TOKEN", key.token)):
            self.patch.setenv(f"A_KEY_{name}", value)

    def run(self, *arguments: str) -> Ended:
        """Runs a command to its end."""
        with restored_logging(), pytest.raises(SystemExit) as ended:
            main(arguments)
        said = self.capture.readouterr()
        assert CANARY not in said.out + said.err
        assert TOKEN not in said.out + said.err
        return Ended(int(ended.value.code or 0), said.out, said.err)


@contextmanager
def stopped_after(probe: Callable[[], object], what: str) -> Iterator[None]:
    """Sends SIGTERM to this process, as a supervisor would, when the probe returns something; fails if it never does.

    Sends nothing after the block has ended, when no handler is left.
    """
    has_ended = Event()

    def wait() -> bool:
        try:
            return poll(10, lambda: has_ended.is_set() or bool(probe()), what)
        finally:
            if not has_ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        try:
            yield
        finally:
            has_ended.set()
    waiting.result()


def sum_of_samples(text: str, name: str, **labels: str) -> float:
    """Returns the sum of the samples with this name and these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and {**sample.labels, **labels} == sample.labels
    )
