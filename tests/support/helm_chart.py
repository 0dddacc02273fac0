"""The chart as the real helm renders it: manifests, messages, and the sets of values of the tests."""

from __future__ import annotations

import copy
import functools
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.helm_tool import need_helm
from tools.chart.values import CHART

if TYPE_CHECKING:
    from pathlib import Path

Manifest = dict[str, Any]

RELEASE, NAMESPACE = "ims", "media"
VALUE_SETS = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
"""Sets of values by their names."""

REGION = ("--set", "config.region_id=cn-shanghai")
"""The required values."""


def helm(*arguments: str, major: str = "4", chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Runs helm on a chart; the first argument is the command."""
    command, *others = arguments
    named = [RELEASE] if command in {"install", "template"} else []
    return subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need_helm(major)), command, *named, str(chart), "--namespace", NAMESPACE, *others],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(*arguments: str, major: str = "4", chart: Path = CHART) -> list[Manifest]:
    """Returns the manifests of a chart; fails with the message of helm."""
    done = helm("template", *arguments, major=major, chart=chart)
    assert done.returncode == 0, done.stderr
    return _parsed(done.stdout)


def refusal(*arguments: str, major: str = "4") -> str:
    """Returns the message of helm for refused values; fails if it accepts them."""
    done = helm("template", *arguments, major=major)
    assert done.returncode != 0, "the values were taken"
    return done.stderr


def rendered_from(values: Manifest, folder: Path) -> list[Manifest]:
    """Returns the manifests for these values."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return rendered("--values", str(path))


def of_set(name: str, major: str = "4") -> list[Manifest]:
    """Returns the manifests of a set of values."""
    return copy.deepcopy(_of_set(name, major))


@functools.cache
def _of_set(name: str, major: str) -> list[Manifest]:
    return rendered("--values", str(VALUE_SETS[name]), major=major)


def _parsed(text: str) -> list[Manifest]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where PyYAML was built with it
    return [each for each in yaml.load_all(text, Loader=loader) if each]


def only(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Returns the one manifest of a kind, whose name ends like this."""
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def exporter_of(manifests: list[Manifest]) -> Manifest:
    """Returns the exporter's container."""
    found: Manifest = only(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(manifests: list[Manifest]) -> dict[str, Any]:
    """Returns the exporter's environment: values, or where they come from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in exporter_of(manifests)["env"]}


def templates() -> str:
    """Returns the text of all templates."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(CHART.rglob("templates/**/*.*")))
