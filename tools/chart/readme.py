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

See [Installation on Kubernetes](../../docs/install-kubernetes.md) for a guide, and [ci](ci) for examples of values. The
chart supports Kubernetes 1.25 or newer and Helm 3.8 or newer.

`values.schema.json` rejects unknown values and values of the wrong type, including the settings of the exporter.

## Values

{values}

## Alert thresholds

The keys of `prometheusRule.thresholds`, as in `ims-exporter rules --set`. The chart renders the same rules as that
command.

{thresholds}
"""


def document() -> str:
    """Returns the text of the chart's README."""
    return PAGE.format(
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
