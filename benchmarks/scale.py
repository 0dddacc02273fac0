"""From 1,000 to 100,000 targets: `python -m benchmarks.scale` prints the figures of docs/scale.md in a minute.

Shards are computed by the real hash, calls by the formula of `plan`, series and pages from a rendered exposition.
Memory and CPU of a process are those that docs/sizing.md measures.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections import Counter

from benchmarks.fleet import Fleet
from benchmarks.scrapes import busy_snapshot
from exporter.commands.plan import Load, cost
from exporter.config.load import load_settings
from exporter.jobs.kinds import SMART
from exporter.jobs.shards import owner
from exporter.jobs.snapshot import PollKey
from exporter.metrics.exposition import TEXT

SIZES = ((1000, 1), (10_000, 10), (20_000, 20), (100_000, 100))
"""Numbers of targets, and of shards for about 1,000 targets each."""

SAMPLE = 200
"""Targets that are rendered to measure a page."""

BASE_MIB, TARGET_MIB, TARGET_CORES = 75.0, 0.29, 0.00047
"""Memory and CPU of a process with busy targets, as measured in docs/sizing.md."""

LOAD = Load(open_jobs=100, jobs_per_day=5000, failure_ratio=0.02)
SCRAPE_SECONDS = 60


def sample_lines(page: bytes) -> list[bytes]:
    """Returns the samples of a page."""
    return [line for line in page.splitlines() if line and not line.startswith(b"#")]


def main() -> None:
    """Prints the tables."""
    started = time.monotonic()
    page = Fleet(busy_snapshot(LOAD.open_jobs), SAMPLE).exposition.page(TEXT)
    lines = sample_lines(page)
    without = [line for line in lines if not line.startswith(b"ims_job_duration_seconds")]
    series, page_mib = len(lines) / SAMPLE, len(page) / SAMPLE / 2**20
    zipped = len(gzip.compress(page, 1)) / len(page)
    small_mib = (len(page) - sum(len(line) + 1 for line in lines) + sum(len(line) + 1 for line in without)) / 2**20
    out = sys.stdout.write
    out(f"series of a target: {series:.0f}, without duration_histograms {len(without) / SAMPLE:.0f}\n")
    out(f"page: {1024 * page_mib:.1f} KiB a target, without {1024 * small_mib / SAMPLE:.1f}; gzip {zipped:.0%}\n\n")
    settings = load_settings({"region_id": "cn-shanghai"}, {})
    calls = cost(settings, LOAD, SMART)
    out("| targets | shards | targets per shard | memory per shard | CPU of all | page of a shard | series |")
    out(" samples/s | calls/s | moved by one more shard |\n|" + "---:|" * 10 + "\n")
    for targets, shards in SIZES:
        keys = [PollKey(f"account-{number}", "cn-shanghai", "smart") for number in range(targets)]
        owners = [owner(key, shards) for key in keys]
        most, least = max(Counter(owners).values()), min(Counter(owners).values())
        moved = sum(owner(key, shards + 1) == shards for key in keys[:20_000]) / len(keys[:20_000])
        out(
            f"| {targets:,} | {shards} | {least:,} to {most:,} | {BASE_MIB + TARGET_MIB * most:,.0f} MiB"
            f" | {TARGET_CORES * targets:.1f} cores | {page_mib * most:.0f} MiB | {series * targets / 1e6:.2f} M"
            f" | {series * targets / SCRAPE_SECONDS:,.0f} | {calls.per_second * targets:,.0f} | {moved:.1%} |\n"
        )
    rate = settings.max_requests_per_second
    out(f"\na survey takes {calls.survey / rate * 2:.0f} s for one region of an account, ")
    out(f"{6 * calls.survey / rate * 2:.0f} s for six; an account holds {rate / calls.per_second:.0f} such targets\n")
    out(f"measured in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
