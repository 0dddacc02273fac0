"""The README of the chart: its values and the thresholds of its rules."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from exporter.rules import Thresholds
from tools.chart.values import chart_values

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = """\
# Helm chart of the IMS exporter

Generated from `values.yaml` by `make docs`; do not edit.

```sh
helm install ims ./helm/ims-exporter --set image.repository=registry.example/ims-exporter \\
  --set config.region_id=cn-shanghai --set credentials.existingSecret=ims-key
helm test ims
```

See [Installation on Kubernetes]({guide}) for a guide, and [ci](ci) for examples of values. The chart
supports Kubernetes 1.25 or newer and Helm 3.8 or newer.

`values.schema.json` rejects unknown values and values of the wrong type, including the settings of the exporter.

## Values

{values}

## Compared with other exporters' charts

By reading the values of the charts `kube-state-metrics`, `prometheus-yet-another-cloudwatch-exporter` (YACE) and
`prometheus-blackbox-exporter` of prometheus-community. *No* means that the chart has no value for it.

| | this chart | kube-state-metrics | YACE | blackbox |
| --- | --- | --- | --- | --- |
{peers}

## Alert thresholds

The keys of `prometheusRule.thresholds`, as in `ims-exporter rules --set`. The chart renders the same rules as that
command.

{thresholds}
"""


GUIDE = "https://github.com/ims-exporter/ims-exporter/blob/main/docs/install-kubernetes.md"
"""Absolute: the package of the chart contains this README, but not the guide."""

YES, NO = "yes", "no"
PEERS = (
    ("`image.registry`, `global.imageRegistry`", YES, YES, "`image.registry`", YES),
    ("image digest", YES, YES, NO, YES),
    ("schema that rejects unknown values", YES, NO, NO, NO),
    ("`namespaceOverride`", YES, YES, NO, YES),
    ("`rbac.create`", "yes (Lease)", YES, "needs none", "needs none"),
    ("`revisionHistoryLimit`, update strategy", YES, YES, NO, YES),
    ("IP families", YES, YES, NO, YES),
    ("`nodePort`, `clusterIP`", YES, YES, NO, NO),
    ("Ingress", YES, "no pages", YES, YES),
    ("NetworkPolicy", "ingress and egress", YES, NO, "ingress"),
    ("read-only root, no capabilities, as non-root by default", YES, YES, NO, YES),
    ("OpenShift", "`openshift: true`", "by removing ids", "by adding ids", "by removing ids"),
    ("`hostAliases`", YES, NO, NO, YES),
    ("ServiceMonitor: `jobLabel`, limits, `proxyUrl`, `honorLabels`", YES, YES, NO, NO),
    ("PodMonitor", YES, NO, NO, "of Google"),
    ("shards", "by target", "by object", NO, NO),
    ("standby", "Lease or file lock", NO, NO, NO),
    ("bundled alerts, with thresholds as values", YES, NO, NO, NO),
    ("bundled dashboards", YES, NO, NO, NO),
    ("`helm test`", "every pod", NO, "one connection", NO),
    ("vertical autoscaler", "by `extraObjects`", YES, NO, YES),
    ("Deployment or DaemonSet instead of a StatefulSet", "no: a ledger has one writer", YES, YES, YES),
)
"""Features of this chart and of its peers."""


def document() -> str:
    """Returns the text of the chart's README."""
    return PAGE.format(
        guide=GUIDE,
        peers="\n".join(f"| {' | '.join(row)} |" for row in PEERS),
        values=_table(
            ("value", "default", "description"),
            ((f"`{'.'.join(value.path)}`", _code(value.default), value.description) for value in chart_values()),
        ),
        thresholds=_table(
            ("threshold", "default", "description"),
            (
                (f"`{one.name}`", _code(getattr(Thresholds(), one.name)), one.metadata["description"])
                for one in fields(Thresholds)
            ),
        ),
    )


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = tuple(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
