"""Standby pods share a volume and a Lease with its permissions, and their job series have the same labels."""

from __future__ import annotations

import pytest

from tests.support.helm_chart import REGION, of_set, only, refusal, rendered, variables

pytestmark = pytest.mark.tools


def test_standby() -> None:
    """Two pods share one volume, and have the permission to read and write one Lease."""
    manifests = of_set("standby")
    stateful_set, claim = only(manifests, "StatefulSet")["spec"], only(manifests, "PersistentVolumeClaim")
    environ, role = variables(manifests), only(manifests, "Role")
    subject, account = only(manifests, "RoleBinding")["subjects"][0], only(manifests, "ServiceAccount")

    assert stateful_set["replicas"] == 2
    assert "volumeClaimTemplates" not in stateful_set
    assert {"name": "ledger", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in stateful_set[
        "template"
    ]["spec"]["volumes"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert environ["IMS_EXPORTER_STANDBY"] == "lease"
    assert [rule.get("resourceNames", []) for rule in role["rules"]] == [[environ["IMS_EXPORTER_LEASE_NAME"]], []]
    assert [rule["verbs"] for rule in role["rules"]] == [["get", "update"], ["create"]]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], claim["metadata"]["namespace"])


def test_standby_by_the_lock_alone() -> None:
    """Without a Lease the pods do not use the Kubernetes API, and an existing claim can be used."""
    own = "persistence.existingClaim=shared,standby.mode=ledger,standby.replicas=3"
    manifests = rendered(*REGION, "--set", own)
    spec = only(manifests, "StatefulSet")["spec"]["template"]["spec"]

    assert only(manifests, "StatefulSet")["spec"]["replicas"] == 3
    assert spec["automountServiceAccountToken"] is False
    assert {each["kind"] for each in manifests} & {"Role", "RoleBinding", "PersistentVolumeClaim"} == set()
    assert {"name": "ledger", "persistentVolumeClaim": {"claimName": "shared"}} in spec["volumes"]


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
def test_counters_go_on_over_a_takeover(kind: str) -> None:
    """Job series have no label that differs between pods, before the relabelings of the values apply."""
    shared = "persistence.existingClaim=shared,standby.mode=ledger"
    own = f"{kind}.metricRelabelings[0].action=labeldrop,{kind}.metricRelabelings[0].regex=x"
    manifests = rendered(*REGION, "--set", shared, "--set", f"{kind}.enabled=true", "--set", own)
    spec = only(manifests, kind[0].upper() + kind[1:])["spec"]
    (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]

    relabelings = endpoint["metricRelabelings"]
    assert [each.get("targetLabel") for each in relabelings] == ["instance", "pod", None]
    assert {each.get("regex") for each in relabelings[:2]} == {"ims_job.*"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("persistence.accessModes={ReadWriteMany},shards=2", "neither demo nor shards can be combined"),
        ("persistence.enabled=false", "persistence.enabled is off"),
        ("image.tag=v1", "set persistence.accessModes to [ReadWriteMany]"),
    ],
)
def test_standby_refused(values: str, said: str) -> None:
    """Standby without a shared ledger is rejected, and the message names the value to set."""
    assert said in refusal(*REGION, "--set", f"standby.mode=lease,{values}")
