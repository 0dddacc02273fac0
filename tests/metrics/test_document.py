"""The page that documents the metrics has the number of series that a target really has at most."""

from __future__ import annotations

from dataclasses import replace

from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import NOTICED_WINDOWS, TargetView
from exporter.metrics.document import metrics_table, series_of_process, series_per_target, series_per_type
from exporter.metrics.table import METRICS
from tests.support.scenarios import BUSY, FAILED, KEY, UP, exposition_of, instruments_of_key, parsed


def test_every_metric_is_documented() -> None:
    """The table of the document has a row for each metric of the exporter."""
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.kind} |" in metrics_table()


def test_bound_of_series_is_reached() -> None:
    """A target with everything that it can have has exactly the documented number of series."""
    instruments = instruments_of_key()
    for action in SMART.actions:
        for number in range(50):
            instruments.observe_request(KEY, action, f"Code{number}", 0.1)
    full = replace(
        BUSY,
        failures={(job_type, code): 1 for job_type in BUSY.created for code in ("a", "b", "c")},
        oldest_open={(job_type, state): 1 for job_type in BUSY.created for state in ("Created", "Executing")},
        failed_noticed={(job_type, window): 1 for job_type in BUSY.created for window, _ in NOTICED_WINDOWS},
        last_failure=dict.fromkeys(BUSY.created, FAILED),
    )

    families = parsed(exposition_of(TargetView(KEY, full, UP), instruments=instruments), "txt")

    series = sum(len(family.samples) for family in families)
    of_account = 1
    assert series - series_of_process() - of_account == 4 * (series_per_type(SMART) + 3) + series_per_target(SMART)
