"""The rule files: every rule in its group, as YAML that Prometheus loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from exporter.rules.exporter_rules import exporter_recordings, exporter_rules
from exporter.rules.failure_rules import failure_rules
from exporter.rules.promql import Series
from exporter.rules.queue_rules import queue_rules
from exporter.rules.recordings import job_recordings, target_recordings
from exporter.rules.rule import Links
from exporter.rules.target_rules import target_rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.rules.rule import Alert, Recording
    from exporter.rules.thresholds import Thresholds

RUNBOOK_BASE_URL = "https://github.com/ims-exporter/ims-exporter/blob/main/docs/runbooks"
DASHBOARD_BASE_URL = "http://localhost:3000/d"
EXPORTER_BASE_URL = "http://localhost:9912"
HEADER = "# Written by `ims-exporter rules`; change the options there rather than this file.\n"


def groups(thresholds: Thresholds, selector: str = "") -> dict[str, list[Recording | Alert]]:
    """Returns every rule by the name of its group; what is recorded comes before the alerts that use it."""
    series = Series(selector)
    return {
        "ims-jobs": [
            *job_recordings(thresholds, series),
            *failure_rules(thresholds, series),
            *queue_rules(thresholds, series),
        ],
        "ims-exporter": [
            *target_recordings(thresholds, series),
            *exporter_recordings(thresholds, series),
            *target_rules(thresholds, series),
            *exporter_rules(thresholds, series),
        ],
    }


def rule_files(
    thresholds: Thresholds,
    *,
    runbook_base_url: str = RUNBOOK_BASE_URL,
    dashboard_base_url: str = DASHBOARD_BASE_URL,
    exporter_base_url: str = EXPORTER_BASE_URL,
    selector: str = "",
) -> dict[str, str]:
    """Returns the text of each rule file by its name, one group a file.

    `selector` is added to every metric, for example `namespace="media"`; it may name labels of the scrape
    target except those of `promql.REPLICAS`, which the rules aggregate away.
    """
    links = Links(*(url.rstrip("/") for url in (runbook_base_url, dashboard_base_url, exporter_base_url)))
    return {
        f"{name}.rules.yaml": _text({"name": name, "rules": [rule.entry(links) for rule in rules]})
        for name, rules in groups(thresholds, selector).items()
    }


def write_rules(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Writes rule files into a folder, which is made if missing, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that expressions can be read."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _text(group: dict[str, object]) -> str:
    return HEADER + yaml.dump({"groups": [group]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
