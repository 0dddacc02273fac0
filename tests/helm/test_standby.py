"""Pods that stand by: one volume, one Lease and the right to it, series that go on from whichever pod."""

from __future__ import annotations

import pytest

from tests.support.helm_chart import REGION, of_set, only, refusal, rendered, variables

pytestmark = pytest.mark.tools


def test_standby() -> None:
    """Two pods share one volume and may read and write one Lease; apart from that they are as ever."""
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
    """Without a Lease, nothing of the cluster's API is asked for, and a claim of one's own is as good."""
    own = "persistence.existingClaim=shared,standby.mode=ledger,standby.replicas=3"
    manifests = rendered(*REGION, "--set", own)
    spec = only(manifests, "StatefulSet")["spec"]["template"]["spec"]

    assert only(manifests, "StatefulSet")["spec"]["replicas"] == 3
    assert spec["automountServiceAccountToken"] is False
    assert {each["kind"] for each in manifests} & {"Role", "RoleBinding", "PersistentVolumeClaim"} == set()
    assert {"name": "ledger", "persistentVolumeClaim": {"claimName": "shared"}} in spec["volumes"]


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
def test_counters_go_on_over_a_takeover(kind: str) -> None:
    """The series of the jobs have no label that tells the pods apart, before anything that the user relabels."""
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
    """Pods that cannot share a ledger are refused, with what to set."""
    assert said in refusal(*REGION, "--set", f"standby.mode=lease,{values}")
