"""Stale data is withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.simulator.faults import Fault
from exporter.simulator.server import Simulator
from tests.support.exporter_process import Scrape, environment, exporter
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

FAILED = "ims_jobs_ended_total"


def job_metrics(scrape: Scrape) -> set[str]:
    """Returns the job metrics that have series."""
    return {name for name in scrape.names() if name.startswith("ims_job")}


def test_old_data_is_withdrawn_and_comes_back(tmp_path: Path) -> None:
    """In an outage longer than stale_after_seconds the job series vanish, the others stay; after it they return."""
    simulator = Simulator()
    with running_simulators(simulator) as here:
        here.do(lambda: simulator.jobs.create("ASR", state="Executing"))
        failed = here.do(lambda: simulator.jobs.create("ASR", state="Executing"))
        env = environment(tmp_path, endpoint=simulator.url, stale_after_seconds=2)
        with exporter(env, tmp_path / "exporter.log") as running:
            running.wait_until_up()
            here.do(lambda: simulator.jobs.move(failed, "Failed"))
            running.wait_for("a survey", lambda scrape: scrape.total("ims_exporter_survey_complete") == 1)
            before = running.wait_for("the failure", lambda scrape: scrape.total(FAILED, job_state="Failed") == 1)
            here.do(lambda: simulator.faults.add(Fault("fail")))
            down = running.wait_for("a failed poll", lambda scrape: scrape.total("ims_exporter_target_up") == 0)
            stale = running.wait_for("old data is withdrawn", lambda scrape: not job_metrics(scrape))
            here.do(simulator.faults.clear)
            after = running.wait_for("new data is shown", lambda scrape: bool(job_metrics(scrape)))

    assert job_metrics(down) == job_metrics(before)
    assert stale.names() == before.names() - job_metrics(before)
    assert stale.total("ims_exporter_target_up") == 0
    assert stale.total("ims_exporter_last_success_timestamp_seconds") > 0
    assert after.names() == before.names()
    assert after.total(FAILED, job_state="Failed") == 1
