"""Helm accepts the chart, and Kubernetes and the Prometheus operator accept its manifests, for all sets of values."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from tests.support.helm_chart import REGION, VALUE_SETS, exporter_of, helm, of_set, only, rendered, templates
from tools.chart.values import CHART, chart_values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.helm_chart import Manifest

pytestmark = pytest.mark.tools

OLDEST, NEWEST = "1.25", "1.37"
OPERATOR = ("PodMonitor", "PrometheusRule", "ServiceMonitor")
MUTABLE = {
    "replicas",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}
"""Fields of the spec of a StatefulSet that an upgrade can change."""

IMMUTABLE = """
name: ims-ims-exporter
serviceName: ims-ims-exporter-pods
podManagementPolicy: Parallel
selector:
  matchLabels: &labels
    app.kubernetes.io/instance: ims
    app.kubernetes.io/name: ims-exporter
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: { name: ledger, labels: *labels }
    spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
"""
"""Fields that no version of the chart may change: an upgrade would be rejected, or start with an empty ledger."""

each_set = pytest.mark.parametrize("name", sorted(VALUE_SETS))
each_helm = pytest.mark.parametrize("major", ["3", "4"])


@cache
def complaint(manifest: str, version: str) -> str:
    """Returns what a Kubernetes version says against a manifest; an unknown kind is nothing it can say yes to."""
    try:
        kubernetes_validate.validate(json.loads(manifest), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{version}: {'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return ""


def immutable(manifests: list[Manifest]) -> dict[str, Any]:
    """Returns what Kubernetes keeps an upgrade from changing in the StatefulSet."""
    found = only(manifests, "StatefulSet")
    return {"name": found["metadata"]["name"]} | {k: v for k, v in found["spec"].items() if k not in MUTABLE}


def test_there_are_enough_sets() -> None:
    """The sets of values together set every value of the chart."""
    set_by = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in VALUE_SETS.values()]

    assert len(VALUE_SETS) >= 8
    assert {each.path[0] for each in chart_values()} - {key for values in set_by for key in values} <= {
        "securityContext",
        "startupProbe",
    }


@each_helm
@each_set
def test_lint(name: str, major: str) -> None:
    """Helm's strict lint finds nothing."""
    done = helm("lint", "--strict", "--values", str(VALUE_SETS[name]), major=major)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout


def test_lint_without_values() -> None:
    """Lint accepts the chart without values."""
    assert helm("lint", "--strict").returncode == 0


@each_set
def test_both_major_versions_render_the_same(name: str) -> None:
    """Helm 3 and Helm 4 render the same manifests."""
    assert of_set(name, "3") == of_set(name, "4")


@each_set
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_manifest(name: str, version: str) -> None:
    """The oldest and the newest Kubernetes know every kind and field, and no field has a wrong type."""
    manifests = [each for each in of_set(name) if each["kind"] not in OPERATOR]

    assert [found for each in manifests if (found := complaint(json.dumps(each), version))] == []


@pytest.mark.parametrize("name", ["monitored", "web-config", "limits", "pod-limits", "umbrella"])
def test_operator_takes_its_objects(name: str) -> None:
    """The Prometheus operator's models know every field: nothing is lost on the way through them."""
    from cloudcoil.models.prometheus_operator import v1 as operator  # noqa: PLC0415 - takes a second for all tests

    manifests = [each for each in of_set(name) if each["kind"] in OPERATOR]

    assert manifests
    for each in manifests:
        model = getattr(operator, each["kind"]).model_validate(each)
        assert json.loads(model.model_dump_json(by_alias=True, exclude_unset=True)) == each


@each_set
def test_no_two_objects_have_one_name(name: str) -> None:
    """All objects differ in kind, namespace or name, and their names fit."""
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in of_set(name)]

    assert len(set(keys)) == len(keys)
    assert max(len(key[2]) for key in keys) <= 63


def test_every_value_is_used() -> None:
    """Each value is named in a template; none is left over from an older chart."""
    words = set(re.findall(r"\w+", templates()))

    assert [each.path for each in chart_values() if each.path[-1] not in words] == []


def test_long_names_fit() -> None:
    """A long name is truncated so that Kubernetes accepts it with every suffix."""
    manifests = rendered(*REGION, "--set", f"fullnameOverride={'a' * 80}")

    assert max(len(each["metadata"]["name"]) for each in manifests) <= 63


def test_names_that_begin_with_a_digit() -> None:
    """The names of Services begin with a letter, whatever the release or the full name is."""
    manifests = rendered(*REGION, "--set", "fullnameOverride=2nd-exporter")

    assert {each["metadata"]["name"] for each in manifests if each["kind"] == "Service"} == {
        "ims-2nd-exporter",
        "ims-2nd-exporter-pods",
    }


def test_umbrella_chart() -> None:
    """All objects are in the overriding namespace; the global registry applies; the dashboards have own uids."""
    manifests = of_set("umbrella")
    boards = [text for each in manifests if each["kind"] == "ConfigMap" for text in each["data"].values()]
    urls = re.findall(r"https://grafana[^ ?]*", json.dumps(only(manifests, "PrometheusRule")))

    assert {each["metadata"]["namespace"] for each in manifests} == {"video"}
    assert exporter_of(manifests)["image"] == "registry.example/ims-exporter:0.1.0"
    assert [each for each in manifests if each["kind"] in {"Role", "RoleBinding"}] == []
    assert only(manifests, "StatefulSet")["spec"]["revisionHistoryLimit"] == 3
    assert sorted(json.loads(text)["uid"] for text in boards if text.startswith("{")) == [
        "video-ims-exporter",
        "video-ims-overview",
        "video-ims-type",
    ]
    assert not any('"/d/ims-' in text for text in boards)
    assert urls
    assert all(url.startswith("https://grafana.example/d/video-ims-") for url in urls)


def test_upgrade_keeps_the_ledger(tmp_path: Path) -> None:
    """Immutable fields are the same for all versions and values, so an upgrade keeps the volume."""
    newer = shutil.copytree(CHART, tmp_path / "chart")
    text = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(text.replace("0.1.0", "9.9.9"), encoding="utf-8")
    others = "podLabels.x=y,commonLabels.team=z,image.tag=v2,resources.limits.cpu=1,service.port=80"

    now = immutable(rendered(*REGION))

    assert immutable(rendered(*REGION, "--set", others)) == now
    assert immutable(rendered(*REGION, chart=newer)) == now
    assert now == yaml.safe_load(IMMUTABLE)


def test_one_replica_with_the_ledger_where_it_is_written() -> None:
    """There is one replica, with its ledger on the volume."""
    manifests = rendered(*REGION)
    mounts = {each["name"]: each["mountPath"] for each in exporter_of(manifests)["volumeMounts"]}

    assert only(manifests, "StatefulSet")["spec"]["replicas"] == 1
    assert mounts["ledger"] == "/var/lib/ims-exporter"
