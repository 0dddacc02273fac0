"""The README of the chart: its values, from values.yaml, and the thresholds of its rules."""

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

[Installation on Kubernetes](../../docs/install-kubernetes.md) tells it step by step; the files in [ci](ci) are examples
of values, which the tests render. The chart is for Kubernetes 1.25 or newer and Helm 3.8 or newer.

Values that are misspelt or of the wrong type are refused by `values.schema.json`, down to the exporter's own settings.

## Values

{values}

## Thresholds of the alerts

For `prometheusRule.thresholds`. They are the same as those of `ims-exporter rules --set`, and the chart
renders the same rules.

{thresholds}
"""


def document() -> str:
    """Returns the text of the chart's README."""
    return PAGE.format(
        values=_table(
            ("value", "default", "meaning"),
            ((f"`{'.'.join(each.path)}`", _code(each.default), each.description) for each in chart_values()),
        ),
        thresholds=_table(
            ("threshold", "default", "meaning"),
            (
                (f"`{one.name}`", _code(getattr(Thresholds(), one.name)), one.metadata["description"])
                for one in fields(Thresholds)
            ),
        ),
    )


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
