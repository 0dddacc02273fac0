"""A real Prometheus scrapes both formats with gzip, and stores every series with its value."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.jobs.snapshot import TargetView
from exporter.metrics.exposition import MAX_TARGETS_INLINE
from tests.support.page_server import page_server
from tests.support.real_servers import READY_SECONDS, poll, prometheus
from tests.support.scenarios import BUSY, KEY, UP, exposition_of, parsed, scenarios, series

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.real_servers import Server
    from tests.support.scenarios import Series

PROTOCOLS = {"txt": "PrometheusText0.0.4", "om.txt": "OpenMetricsText1.0.0"}
VIEWS = (
    *(TargetView(replace(KEY, account=f"a{number}"), BUSY, UP) for number in range(MAX_TARGETS_INLINE)),
    *scenarios()["nasty_labels"].views,
)


def scrape_config(address: str) -> str:
    """Returns a configuration with a scrape job for each format, named after it."""
    jobs = [
        {"job_name": name, "scrape_protocols": [protocol], "static_configs": [{"targets": [address]}]}
        for name, protocol in PROTOCOLS.items()
    ]
    return yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})


def normalized(found: Series) -> Series:
    """Returns the series with the bounds of buckets as numbers, as Prometheus may write them in another way."""
    return {
        (name, frozenset((key, str(float(value)) if key == "le" else value) for key, value in labels)): number
        for (name, labels), number in found.items()
    }


def stored(server: Server, job: str) -> Series:
    """Returns the series that Prometheus has stored of a scrape job, without the labels that it has added."""
    found = {}
    for pairs, value in server.query(f'{{job="{job}", __name__=~"ims_.*"}}').items():
        labels = dict(pairs)
        name = labels.pop("__name__")
        del labels["job"], labels["instance"]
        found[name, frozenset(labels.items())] = value
    return found


@pytest.mark.tools
def test_prometheus_stores_every_series_of_both_formats(tmp_path: Path) -> None:
    """Odd label values, buckets and counters of many targets arrive in either format with their values."""
    with (
        page_server(VIEWS).running() as web,
        prometheus(scrape_config(web.url.removeprefix("http://")), tmp_path) as server,
    ):
        for name in PROTOCOLS:
            expected = normalized(series(parsed(exposition_of(*VIEWS), name)))
            poll(READY_SECONDS, partial(stored, server, name), f"{name} is scraped")

            assert normalized(stored(server, name)) == expected
