"""The cases of docs/troubleshooting.md: each function causes one, and returns what the exporter prints."""

from __future__ import annotations

import io
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.logs import configure_logging
from exporter.polling.ledger import Ledger
from exporter.polling.ledger.schema import MIGRATIONS
from exporter.simulator.authentication import Key
from exporter.simulator.faults import Fault
from exporter.standby.ledger_lock import LedgerLock
from exporter.standby.standby import process_name
from tests.support.command_line import CANARY, CommandLine
from tests.support.dead_endpoint import dead_endpoint
from tests.support.exporter_process import environment, exporter
from tests.support.ledger_driver import execute, full_disk
from tests.support.logging_state import restored_logging
from tests.support.polled_target import Polled
from tests.support.real_servers import READY_SECONDS, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exporter.simulator.server import Simulator

KEY = Key("STS.id", CANARY)
LIST_ONLY = Key("STS.id", CANARY, actions=frozenset({"ListSmartJobs"}))
NOTHING = Key("STS.id", CANARY, actions=frozenset())
SPENT = Fault("fail", status=400, code="InvalidParameter", message="The specified parameter is not valid.")


@dataclass(frozen=True, slots=True)
class Place:
    """The surroundings of a case: a command line with a service, and a folder."""

    cli: CommandLine
    service: Simulator
    folder: Path

    @property
    def ledger(self) -> Path:
        """The path of the ledger."""
        return self.folder / "ledger.db"

    def says(self, *arguments: str) -> str:
        """Returns what a command prints."""
        ended = self.cli.run(*arguments)
        return ended.out + ended.err

    def polled(self, *faults: Fault) -> str:
        """Returns what a poll logs while these faults are active."""
        for fault in faults:
            self.service.faults.add(fault)
        text = self.says("once")
        self.service.faults.clear()
        return text

    def polled_with(self, *keys: Key) -> str:
        """Returns what a poll logs while the service knows only these keys."""
        before = dict(self.service.keys)
        self.service.keys.clear()
        self.service.keys.update({key.key_id: key for key in keys})
        text = self.says("once")
        self.service.keys.update(before)
        return text

    def started(self, *flags: str) -> str:
        """Returns the message of an exporter that cannot start on the ledger."""
        return self.says("run", "--ledger-path", str(self.ledger), "--listen-address", "127.0.0.1:0", *flags)


def healthy(place: Place) -> str:
    """Checks a good target."""
    return place.says("check", "--account", "prod")


def misconfigured(place: Place) -> str:
    """Starts with an unknown setting and a value out of bounds."""
    path = place.folder / "config.yaml"
    path.write_text("poll_intervall_seconds: 30\nlookback_days: 0\n")
    return place.says("run", "--config", str(path))


def address_in_use(place: Place) -> str:
    """Starts on a port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return place.says("run", "--listen-address", f"127.0.0.1:{taken.getsockname()[1]}")


def ledger_in_use(place: Place) -> str:
    """Starts while another process holds the lock of the ledger."""
    lock = LedgerLock(str(place.ledger))
    lock.acquire(process_name())
    text = place.started()
    lock.release()
    return text


def ledger_not_opened(place: Place) -> str:
    """Starts with a ledger in a folder that does not exist, that is a folder, and where nobody can create files."""
    paths = (place.folder / "missing" / "ledger.db", place.folder, "/proc/ledger.db")
    return "".join(place.says("run", "--ledger-path", str(path)) for path in paths)


def ledger_of_a_shard(place: Place) -> str:
    """Starts a shard on the ledger of another shard."""
    ledger = Ledger(str(place.ledger))
    ledger.claim(0, [], [])
    ledger.close()
    return place.started("--shards", "2", "--shard", "1")


def newer_ledger(place: Place) -> str:
    """Starts on a ledger of a newer version."""
    Ledger(str(place.ledger)).close()
    execute(place.ledger, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    return place.started()


def no_ledger(place: Place) -> str:
    """Starts on the database of another program."""
    with closing(sqlite3.connect(place.ledger)) as other:
        other.execute("CREATE TABLE theirs (a)")
    return place.started()


def damaged(place: Place) -> str:
    """Polls on a damaged ledger, and starts a new one as `run` does."""
    place.ledger.write_text("something else entirely\n" * 100)
    said = place.says("once", "--ledger-path", str(place.ledger))
    with logged() as log:
        Ledger(str(place.ledger), recreate_if_damaged=True).close()
    return said + log.getvalue()


def unauthorized(place: Place) -> str:
    """Polls with a deleted key, with a wrong secret, with a wrong clock, and without a key."""
    texts = [place.polled_with(), place.polled_with(Key(KEY.key_id, "another"))]
    place.service.clock_offset = 3600
    texts.append(place.says("once"))
    place.cli.patch.delenv("IMS_EXPORTER_CREDENTIALS")
    place.cli.patch.setenv("HOME", str(place.folder))
    return "".join((*texts, place.says("once")))


def unreachable(place: Place) -> str:
    """Polls an endpoint that never answers, and one that refuses connections."""
    late = place.polled(Fault("hang"))
    with dead_endpoint() as url:
        return late + place.says("once", "--endpoint", url)


def disk_full(place: Place) -> str:
    """Polls on a full disk."""
    with logged() as log:
        target = Polled(path=str(place.ledger))
        target.poll()
        target.fail_jobs(500)
        with full_disk(os.stat(f"{place.ledger}-wal").st_size):  # noqa: PTH116 - of a text
            target.poll()
        target.ledger.close()
    return log.getvalue()


def surveyed(_: Place) -> str:
    """Surveys a target."""
    with logged() as log:
        target = Polled()
        target.poll()
        target.calls_of(target.survey.run())
        target.ledger.close()
    return log.getvalue()


def without_reason(place: Place) -> str:
    """Polls a failed job without permission to read its reason."""
    place.says("once", "--ledger-path", str(place.ledger))
    place.service.jobs.create("ASR", state="Failed", error=("E.Code", "words"))
    place.service.keys[KEY.key_id] = LIST_ONLY
    return place.says("once", "--ledger-path", str(place.ledger))


def standing_by(place: Place) -> str:
    """Requests the page of a standby."""
    lock = LedgerLock(str(place.ledger))
    lock.acquire(process_name())
    with running(place, standby="ledger") as (url, log):
        text = log.read_text() + asked(f"{url}/")
    lock.release()
    return text


def not_ready(place: Place) -> str:
    """Requests /readyz of a process whose first call hangs."""
    place.service.faults.add(Fault("hang"))
    with running(place, account="prod", request_timeout_seconds=300) as (url, _):
        poll(READY_SECONDS, lambda: place.service.calls["ListSmartJobs"], "the first call")
        return asked(f"{url}/readyz")


def reload_refused(place: Place) -> str:
    """Requests a reload with a changed setting that needs a restart."""
    config = place.folder / "config.yaml"
    settings = f"targets: [{{region_id: cn-shanghai, endpoint: '{place.service.url}'}}]\n"
    config.write_text(settings)
    with running(place, config=config, web_enable_lifecycle="on") as (url, log):
        config.write_text(f"{settings}log_level: debug\n")
        answered = asked(f"{url}/-/reload", method="POST")
        assert answered == "a change of log_level takes a restart\n"
        return log.read_text()


@contextmanager
def running(place: Place, **settings: object) -> Iterator[tuple[str, Path]]:
    """Runs an exporter as a process; yields its URL and its log."""
    log = place.folder / "exporter.log"
    key = {"ALIBABA_CLOUD_ACCESS_KEY_ID": KEY.key_id, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY.secret}
    env = environment(place.folder, key, **{"endpoint": place.service.url, "log_format": "logfmt", **settings})
    with exporter(env, log):
        yield poll(READY_SECONDS, lambda: word_after("url=", log.read_text()), f"it listens; see {log}"), log


def word_after(mark: str, text: str) -> str:
    """Returns the word after the first mark in a complete line; empty if there is none."""
    found = text.rpartition("\n")[0].partition(mark)[2]
    return found.split()[0] if found else ""


def asked(url: str, method: str = "GET") -> str:
    """Returns the text of an answer, whatever its status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Yields what is logged within the block."""
    log = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(restored_logging())
        configure_logging("info", "logfmt", log)
        yield log


SYMPTOMS: Mapping[str, Callable[[Place], str]] = {
    "Troubleshooting": healthy,
    "The configuration has problems": misconfigured,
    "The address is in use": address_in_use,
    "The ledger is in use": ledger_in_use,
    "The ledger cannot be opened": ledger_not_opened,
    "The ledger belongs to another shard": ledger_of_a_shard,
    "The ledger is of a newer version": newer_ledger,
    "The file is not a ledger": no_ledger,
    "The ledger was damaged": damaged,
    "`auth`": unauthorized,
    "`forbidden`": lambda place: place.polled_with(NOTHING),
    "`throttled`": lambda place: place.polled(Fault("throttle")),
    "`timeout` and `network`": unreachable,
    "`server` and `parse`": lambda place: place.polled(Fault("fail")) + place.polled(Fault("garbage")),
    "`ledger`": disk_full,
    "`other`": lambda place: place.polled(SPENT),
    "Ended states are absent": surveyed,
    "Failures have no reason": without_reason,
    "A standby shows no jobs": standing_by,
    "`/readyz` stays 503": not_ready,
    "A reload is refused": reload_refused,
}
"""The cases, by the heading of the page that quotes them."""
