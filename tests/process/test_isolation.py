"""A broken target neither delays nor hides another one, and shows the reason."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.simulator.authentication import Key
from exporter.simulator.faults import Fault
from exporter.simulator.job_store import Account, JobStore
from exporter.simulator.server import Simulator
from tests.support.expected_counts import ExpectedCounts, wait_for_counts
from tests.support.exporter_process import Exporter, Scrape, environment, exporter
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.measurements import Measured

pytestmark = pytest.mark.process

INTERVAL_SECONDS = 0.5
TIMEOUT_SECONDS = 15
POLLS = 12
"""Minimum number of polls of every target."""
BROKEN_POLLS = 2
LATE_SECONDS = 12.0
"""Maximum time between two polls of the good target: less than one call of the silent target."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken target: the reason that it shows, and the text of its log lines."""

    reason: str
    says: str
    hints: str


BROKEN = {
    "wrong-secret": Broken("auth", "SignatureDoesNotMatch", "access key"),
    "no-permission": Broken("forbidden", "NoPermission", "grant ice:ListSmartJobs"),
    "dead-endpoint": Broken("network", "", "endpoint"),
    "wrong-clock": Broken("auth", "InvalidTimeStamp.Expired", "clock"),
    "malformed": Broken("parse", "not JSON", "endpoint is the IMS endpoint"),
    "throttled": Broken("throttled", "Throttling", "max_requests_per_second"),
    "silent": Broken("timeout", "", "request_timeout_seconds"),
}
KEYS = {account: Key(f"id-of-{account}", f"secret-of-{account}") for account in ("good", *BROKEN)}
KEYS["no-permission"] = Key("id-of-no-permission", "secret-of-no-permission", actions=frozenset())


def simulators() -> tuple[Simulator, Simulator]:
    """Returns a service for all accounts, one for each key, and one whose clock is an hour ahead."""
    service, ahead = Simulator(keys=KEYS.values()), Simulator(keys=KEYS.values())
    service.accounts = {key.key_id: Account(service.clock) for key in KEYS.values()}
    ahead.clock_offset = HOUR
    service.faults.add(Fault("garbage", key_id=KEYS["malformed"].key_id))
    service.faults.add(Fault("throttle", key_id=KEYS["throttled"].key_id))
    service.faults.add(Fault("hang", key_id=KEYS["silent"].key_id))
    return service, ahead


def variable(account: str, part: str) -> str:
    """Returns the name of the environment variable that holds a part of an account's key."""
    return f"{account.upper().replace('-', '_')}_{part}"


def config(urls: dict[str, str]) -> str:
    """Returns a configuration with a target for each account."""
    targets = [
        {
            "account": account,
            "region_id": "cn-shanghai",
            "endpoint": urls[account],
            "credentials": {
                "access_key_id_env": variable(account, "KEY_ID"),
                "access_key_secret_env": variable(account, "KEY_SECRET"),
            },
        }
        for account in KEYS
    ]
    return yaml.safe_dump({"targets": targets, "request_timeout_seconds": TIMEOUT_SECONDS})


def variables() -> dict[str, str]:
    """Returns the environment variables that hold all keys, one of them wrong."""
    parts = {(account, "KEY_ID"): key.key_id for account, key in KEYS.items()}
    parts |= {(account, "KEY_SECRET"): key.secret for account, key in KEYS.items()}
    parts["wrong-secret", "KEY_SECRET"] = "something else"
    return {variable(account, part): value for (account, part), value in parts.items()}


def live(store: JobStore) -> None:
    """Creates jobs, starts some, and ends some."""
    for job in store.page(job_state="Executing", limit=2):
        store.move(job.job_id, "Finished")
    for job in store.page(job_state="Created", limit=2):
        store.move(job.job_id, "Executing")
    for job_type in ("ASR", "TextToSpeech"):
        store.create(job_type)


def polls(scrape: Scrape, account: str) -> float:
    """Returns the number of finished polls of an account."""
    return scrape.total("ims_exporter_polls_total", account=account)


def longest_pause(running: Exporter, account: str) -> float:
    """Returns the longest time between the ends of two polls of an account, in seconds."""
    ends = [datetime.fromisoformat(line["ts"]).timestamp() for line in running.events("poll", account=account)]
    return max(after - before for before, after in pairwise(ends))


def assert_tells_what_is_wrong(running: Exporter, account: str, broken: Broken) -> None:
    """The target is down with its reason, has no job series, and logs one line for each poll."""
    lines_before = running.events("poll", account=account)
    scrape = running.scrape()
    lines = running.events("poll", account=account)

    assert scrape is not None
    failures = scrape.by("ims_exporter_poll_failures_total", "reason", account=account)
    assert scrape.total("ims_exporter_target_up", account=account) == 0
    assert {reason: number for (reason,), number in failures.items() if number} == {
        broken.reason: polls(scrape, account)
    }
    assert not {name for name in scrape.names(account=account) if name.startswith("ims_job")}
    assert len(lines_before) <= polls(scrape, account) <= len(lines)
    for line in lines:
        assert (line["outcome"], line["reason"]) == ("failed", broken.reason)
        assert broken.says in line["error"]
        assert broken.hints in line["hint"]


def test_broken_targets_neither_delay_nor_hide_the_good_one(tmp_path: Path, measured: Measured) -> None:
    """With seven of eight targets broken in different ways, the good one is exact and on time, the others show why."""
    service, ahead = simulators()
    store = service.accounts[KEYS["good"].key_id].jobs
    with running_simulators(service, ahead) as here, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # and never listens
        urls = dict.fromkeys(KEYS, service.url)
        urls |= {"dead-endpoint": f"http://127.0.0.1:{dead.getsockname()[1]}", "wrong-clock": ahead.url}
        (tmp_path / "config.yaml").write_text(config(urls))
        env = environment(
            tmp_path, variables(), config=tmp_path / "config.yaml", poll_interval_seconds=INTERVAL_SECONDS
        )
        with exporter(env, tmp_path / "exporter.log") as running:
            running.wait_for("the good one", lambda scrape: scrape.total("ims_exporter_survey_complete") == 1)
            truth = here.do(lambda: ExpectedCounts(store))
            for _ in range(POLLS):
                here.do(lambda: live(store))
                running.wait_for_polls(1, account="good")
            expected = here.do(truth.now)
            good = wait_for_counts(running, expected)
            running.wait_for("polls", lambda scrape: all(polls(scrape, account) >= BROKEN_POLLS for account in BROKEN))
            for account, broken in BROKEN.items():
                assert_tells_what_is_wrong(running, account, broken)
            pause = longest_pause(running, "good")
    measured(f"targets: polls every {INTERVAL_SECONDS} s, never more than {pause:.2f} s apart")
    assert good.total("ims_exporter_poll_failures_total", account="good") == 0
    assert pause < LATE_SECONDS
