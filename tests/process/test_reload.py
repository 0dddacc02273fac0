"""A reload of the configuration: what it changes, what stays, and what it refuses."""

from __future__ import annotations

import signal
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.simulator.server import Simulator
from tests.support.exporter_process import Exporter, Scrape, environment, exporter
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

REASON = ("Timeout", "took too long")
REGIONS = ("cn-shanghai", "cn-beijing", "cn-hangzhou")


class Configured:
    """An exporter that runs with a configuration file, which the test changes."""

    def __init__(self, path: Path, endpoint: str) -> None:
        self.path = path
        self.endpoint = endpoint
        self.running: Exporter

    def write(self, *regions: str, job_types: tuple[str, ...] = (), **settings: Any) -> None:  # noqa: ANN401 - YAML
        """Writes a configuration with a target in each region."""
        targets = [
            {"account": "prod", "region_id": region, "endpoint": self.endpoint, "job_types": list(job_types)}
            for region in regions
        ]
        self.path.write_text(yaml.safe_dump({"targets": targets, **settings}))

    def post(self) -> tuple[int, str]:
        """Requests a reload; returns status and text of the answer."""
        request = urllib.request.Request(f"{self.running.url}/-/reload", method="POST")  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:  # noqa: S310 - loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def regions(self) -> list[str]:
        """Returns the regions that have series."""
        scrape = self.running.scrape()
        assert scrape is not None
        return sorted(region for (region,) in scrape.by("ims_exporter_polls_total", "region_id"))


@contextmanager
def configured(folder: Path, *, may_post: bool = True) -> Iterator[tuple[Configured, Simulator]]:
    """Runs an exporter with one target and one job, after its first survey."""
    service = Simulator()
    service.jobs.create("ASR")
    with running_simulators(service):
        config = Configured(folder / "config.yaml", service.url)
        config.write(REGIONS[0])
        env = environment(folder, config=config.path, web_enable_lifecycle=may_post)
        with exporter(env, folder / "exporter.log") as running:
            config.running = running
            running.wait_for("a survey", lambda scrape: scrape.total("ims_exporter_survey_complete") == 1)
            yield config, service


def is_up(region: str) -> Any:  # noqa: ANN401 - a probe
    """Returns a probe that is true if the last poll of a region was good."""
    return lambda scrape: scrape.total("ims_exporter_target_up", region_id=region) == 1


def successful(scrape: Scrape | None) -> float:
    """Returns whether the last reload succeeded."""
    assert scrape is not None
    return scrape.total("ims_exporter_config_last_reload_successful")


def test_targets_come_and_go(tmp_path: Path) -> None:
    """New targets start, removed targets vanish with their series, and the others are polled without a break."""
    with configured(tmp_path) as (config, _):
        config.write(*REGIONS[:2])
        assert config.post() == (200, "the configuration is reloaded\n")
        config.running.wait_for("the new target", is_up(REGIONS[1]))
        assert config.regions() == sorted(REGIONS[:2])
        assert len(config.running.events("survey", region_id=REGIONS[0], outcome="started")) == 1

        config.write(*REGIONS[1:])
        assert config.post()[0] == 200
        config.running.wait_for("the third", is_up(REGIONS[2]))
        assert config.regions() == sorted(REGIONS[1:])
        before = len(config.running.events("poll", region_id=REGIONS[0]))
        config.running.wait_for_polls(5, region_id=REGIONS[1])
        assert len(config.running.events("poll", region_id=REGIONS[0])) == before
        assert not config.running.events("poll", outcome="failed")
        assert config.running.end()[0] == 0


def test_a_changed_target_keeps_its_ledger(tmp_path: Path) -> None:
    """A target with changed settings is shown without a gap and keeps its counters."""
    with configured(tmp_path) as (config, service):
        for _ in range(3):
            service.jobs.create("ASR", state="Finished")
        config.running.wait_for("the ends", lambda scrape: scrape.total("ims_jobs_ended_total") == 3)
        config.write(REGIONS[0], job_types=("ASR",), lookback_days=7)

        assert config.post()[0] == 200
        scrape = config.running.scrape()

        assert scrape is not None
        assert scrape.total("ims_jobs_ended_total") == 3
        shown = config.running.wait_for(
            "a survey of the one type",
            lambda scrape: (
                set(scrape.by("ims_jobs", "job_type", "job_state"))
                == {("ASR", state) for state in ("Created", "Executing", "Finished", "Failed")}
            ),
        )
        assert (shown.total("ims_jobs", job_state="Finished"), shown.total("ims_jobs")) == (3, 4)
        assert shown.total("ims_jobs_ended_total") == 3


def test_a_bad_configuration_changes_nothing(tmp_path: Path) -> None:
    """A bad configuration is refused with all its problems and shown in the metrics, and the old one stays active."""
    with configured(tmp_path) as (config, _):
        config.write(*REGIONS, lookback_days=-1, request_timeout_seconds="soon")

        status, text = config.post()

        assert status == 400
        assert "lookback_days" in text
        assert "request_timeout_seconds" in text
        assert successful(config.running.scrape()) == 0
        assert config.running.events("reload", outcome="refused")
        config.running.wait_for_polls(3)
        assert config.regions() == [REGIONS[0]]

        config.write(REGIONS[0], ledger_path=str(tmp_path / "other.db"))
        assert config.post()[0] == 200  # the environment says another path, and is stronger
        assert successful(config.running.scrape()) == 1


def test_what_takes_a_restart(tmp_path: Path) -> None:
    """A changed setting that needs a restart is refused with its name."""
    with configured(tmp_path) as (config, _):
        config.write(REGIONS[0], web_config_file="web.yml")

        assert config.post() == (400, "a change of web_config_file takes a restart\n")


def test_a_ledger_that_is_locked(tmp_path: Path) -> None:
    """A reload that the ledger does not allow is refused, by HTTP and by signal, and polls continue."""
    with configured(tmp_path) as (config, _):
        config.write(REGIONS[0], lookback_days=7)
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, text = config.post()
            other.execute("ROLLBACK")

        assert status == 500
        assert "locked" in text
        assert successful(config.running.scrape()) == 0
        config.running.wait_for_polls(3)
        assert config.post()[0] == 200
        config.running.wait_for_polls(3)


def test_by_signal(tmp_path: Path) -> None:
    """SIGHUP reloads even if reloads by HTTP are off."""
    with configured(tmp_path) as (config, _):
        config.write(*REGIONS[:2])
        config.running.process.send_signal(signal.SIGHUP)
        config.running.wait_for("the new target", is_up(REGIONS[1]))

        config.path.write_text("targets: 7")
        config.running.process.send_signal(signal.SIGHUP)
        poll(READY_SECONDS, lambda: successful(config.running.scrape()) == 0, "a refused reload")
        assert config.regions() == sorted(REGIONS[:2])


def test_not_enabled(tmp_path: Path) -> None:
    """HTTP does not reload unless the settings allow it."""
    with configured(tmp_path, may_post=False) as (config, _):
        status, text = config.post()

        assert status == 403
        assert "web_enable_lifecycle" in text


def test_a_target_that_moves_to_another_shard_and_back(tmp_path: Path) -> None:
    """A target that moves to another shard loses its series here, and what ends there is not counted here."""
    with configured(tmp_path) as (config, service):
        config.write(*REGIONS)
        assert config.post()[0] == 200
        config.running.wait_for("all", lambda scrape: scrape.total("ims_exporter_target_up") == len(REGIONS))
        service.jobs.create("ASR", state="Failed", error=REASON)
        config.running.wait_for("failures", lambda scrape: scrape.total("ims_job_failures_total") == len(REGIONS))

        config.write(*REGIONS, shards=2, shard=0)
        assert config.post()[0] == 200
        mine = config.regions()
        assert mine == sorted(region for region in REGIONS if owner(PollKey("prod", region, "smart"), 2) == 0)
        service.jobs.create("ASR", state="Failed", error=REASON)
        config.running.wait_for(
            "a failure of those that stayed",
            lambda scrape: scrape.total("ims_job_failures_total") == 2 * len(mine),
        )

        config.write(*REGIONS)
        assert config.post()[0] == 200
        scrape = config.running.wait_for(
            "all again", lambda scrape: scrape.total("ims_exporter_target_up") == len(REGIONS)
        )
        failures = scrape.by("ims_jobs_ended_total", "region_id", job_type="ASR", job_state="Failed")
        assert failures == {(region,): 2 if region in mine else 0 for region in REGIONS}
