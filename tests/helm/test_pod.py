"""The pod has valid settings, credentials, volumes, probes and policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.config.load import load_settings
from tests.support.helm_chart import (
    REGION,
    VALUE_SETS,
    exporter_of,
    of_set,
    only,
    rendered,
    rendered_from,
    variables,
)

if TYPE_CHECKING:
    from tests.support.helm_chart import Manifest

pytestmark = pytest.mark.tools

WITH_CONFIG = sorted(
    name for name, path in VALUE_SETS.items() if "config" in yaml.safe_load(path.read_text(encoding="utf-8"))
)
FROM_SECRETS = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")

each_set = pytest.mark.parametrize("name", sorted(VALUE_SETS))


def pod_of(manifests: list[Manifest]) -> Any:  # noqa: ANN401 - YAML
    """Returns the exporter's pod."""
    return only(manifests, "StatefulSet")["spec"]["template"]


def from_secret(name: str, key: str) -> dict[str, Any]:
    """Returns what a variable is that comes from a secret."""
    return {"secretKeyRef": {"name": name, "key": key}}


@pytest.mark.parametrize("name", WITH_CONFIG)
def test_the_exporter_takes_its_settings(name: str, tmp_path: Path) -> None:
    """The configuration file and the variables that the chart writes are settings that the exporter takes."""
    manifests = of_set(name)
    (tmp_path / "config.yaml").write_text(only(manifests, "ConfigMap", "-config")["data"]["config.yaml"])
    wanted = yaml.safe_load(VALUE_SETS[name].read_text(encoding="utf-8"))["config"]
    environ = {key: "ims-0" if isinstance(value, dict) else value for key, value in variables(manifests).items()}
    web_config = environ.pop("IMS_EXPORTER_WEB_CONFIG_FILE", None)

    settings = load_settings({}, {**environ, "IMS_EXPORTER_CONFIG": str(tmp_path / "config.yaml")})

    (port,) = exporter_of(manifests)["ports"]
    assert settings.listen_pair[1] == port["containerPort"]
    assert Path(settings.ledger_path).parent == Path("/var/lib/ims-exporter")
    assert len(settings.all_targets) == len(wanted.get("targets", [1]))
    assert (web_config is not None) == (name == "web-config")


def test_a_change_of_the_settings_rolls_out() -> None:
    """Another configuration or key makes another pod; another label of the service does not."""

    def template(*changes: str) -> Any:  # noqa: ANN401 - YAML
        return pod_of(rendered(*REGION, *(word for change in changes for word in ("--set", change))))

    assert template("config.log_level=debug") != template()
    assert template("credentials.accessKeyId=a,credentials.accessKeySecret=b") != template(
        "credentials.accessKeyId=a,credentials.accessKeySecret=c"
    )
    assert template("service.labels.tier=edge") == template()


@each_set
def test_hardened(name: str) -> None:
    """Each pod runs as nobody, without privileges, service variables, a writable root, and a token but for a Lease."""
    manifests = of_set(name)
    for spec in (pod_of(manifests)["spec"], only(manifests, "Pod")["spec"]):
        context = spec["containers"][0]["securityContext"]

        assert spec["enableServiceLinks"] is False
        assert spec["automountServiceAccountToken"] is (
            name in {"standby", "umbrella"} and "volumes" in spec
        )  # not in `helm test`
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in spec["containers"][0]["resources"]


@pytest.mark.parametrize(("name", "scheme"), [("region", "HTTP"), ("web-config", "HTTPS")])
def test_probes(name: str, scheme: str) -> None:
    """The probes request the paths for probes, by HTTPS if the web config enables TLS."""
    container = exporter_of(of_set(name))
    asked = {key: container[f"{key}Probe"]["httpGet"] for key in ("startup", "liveness", "readiness")}

    assert {key: each["path"] for key, each in asked.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {(each["port"], each["scheme"]) for each in asked.values()} == {("metrics", scheme)}


def test_a_probe_of_ones_own() -> None:
    """A probe with its own handler uses only this handler, and keeps the default times."""
    probe = exporter_of(of_set("everything"))["readinessProbe"]

    assert "httpGet" not in probe
    assert probe["exec"] == {"command": ["python3", "-c", "pass"]}
    assert probe["failureThreshold"] == 3


def test_existing_secret() -> None:
    """The key comes from the existing Secret, and the chart creates none."""
    manifests = of_set("targets")
    found = variables(manifests)

    assert [found[each] for each in FROM_SECRETS] == [
        from_secret("prod-key", "access-key-id"),
        from_secret("prod-key", "access-key-secret"),
        from_secret("prod-key", "token"),
    ]
    assert found["MEDIA_KEY_ID"] == from_secret("media-key", "id")
    assert [each for each in manifests if each["kind"] == "Secret"] == []


def test_plain_key() -> None:
    """A key in the values is stored in a Secret, not in the pod."""
    manifests = of_set("key")
    secret = only(manifests, "Secret")
    found = variables(manifests)
    named = {each: found[each]["secretKeyRef"]["key"] for each in FROM_SECRETS}

    assert [secret["stringData"][named[each]] for each in FROM_SECRETS] == ["LTAI-example", "0123456789", "a-token"]
    assert {found[each]["secretKeyRef"]["name"] for each in FROM_SECRETS} == {secret["metadata"]["name"]}
    assert "0123456789" not in json.dumps([each for each in manifests if each is not secret])


def test_role_by_webhook() -> None:
    """For the webhook the service account has its annotation, in addition to those of the values."""
    account = only(of_set("rrsa-webhook"), "ServiceAccount")

    assert account["metadata"]["annotations"] == {
        "pod-identity.alibabacloud.com/role-name": "ims-reader",
        "team.example/owner": "media",
    }


def test_role_by_token() -> None:
    """Without the webhook the pod has the token for STS, and the variables that the default chain reads."""
    manifests = of_set("rrsa-token")
    spec = pod_of(manifests)["spec"]
    (token,) = [each["projected"]["sources"] for each in spec["volumes"] if "projected" in each]
    (mount,) = [each for each in exporter_of(manifests)["volumeMounts"] if each["name"] == "rrsa"]
    found = variables(manifests)

    assert token == [
        {"serviceAccountToken": {"audience": "sts.aliyuncs.com", "expirationSeconds": 3600, "path": "token"}}
    ]
    assert found["ALIBABA_CLOUD_OIDC_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    assert found["ALIBABA_CLOUD_ROLE_ARN"] == "acs:ram::1234567890123456:role/ims-reader"
    assert "ALIBABA_CLOUD_OIDC_PROVIDER_ARN" in found


@pytest.mark.parametrize(
    ("name", "volume"),
    [("demo", {"emptyDir": {}}), ("key", {"persistentVolumeClaim": {"claimName": "old-ledger"}}), ("region", None)],
)
def test_volume_of_the_ledger(name: str, volume: dict[str, Any] | None) -> None:
    """The ledger is on a claim of the StatefulSet, on an existing claim, or on an ephemeral volume."""
    manifests = of_set(name)
    volumes = {each.pop("name"): each for each in pod_of(manifests)["spec"]["volumes"]}

    assert volumes.get("ledger") == volume
    assert ("volumeClaimTemplates" in only(manifests, "StatefulSet")["spec"]) == (volume is None)


def test_network_policy() -> None:
    """The policy allows ingress for scrapes, and egress for DNS, API, STS and the metadata of a node role."""
    open_to_all = only(of_set("ecs-role"), "NetworkPolicy")["spec"]
    chosen = only(of_set("everything"), "NetworkPolicy")["spec"]

    assert open_to_all["policyTypes"] == ["Ingress", "Egress"]
    assert open_to_all["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]
    assert [[port["port"] for port in rule["ports"]] for rule in open_to_all["egress"]] == [
        [53, 53, 5353, 5353],
        [443],
        [80],
    ]
    assert open_to_all["egress"][2]["to"] == [{"ipBlock": {"cidr": "100.100.100.200/32"}}]
    test_pod = only(of_set("everything"), "Pod")["metadata"]["labels"]
    assert chosen["ingress"][0]["from"][-1] == {"podSelector": {"matchLabels": test_pod}}
    assert chosen["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


@each_set
def test_selectors_meet_the_exporter_alone(name: str) -> None:
    """Service, monitors, policy and budget select the exporter's pod, and not that of `helm test`."""
    manifests = of_set(name)
    selectors = [
        each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
        for each in manifests
        if each["kind"] in {"Service", "PodMonitor", "StatefulSet", "PodDisruptionBudget"}
    ]
    ours = pod_of(manifests)["metadata"]["labels"]
    tests = only(manifests, "Pod")["metadata"]["labels"]

    assert len(selectors) >= 2
    assert all(each.items() <= ours.items() for each in selectors)
    assert not any(each.items() <= tests.items() for each in selectors)


@pytest.mark.parametrize("name", ["monitored", "standby", "limits"])
def test_the_monitor_meets_the_headless_service(name: str) -> None:
    """The ServiceMonitor selects the headless Service alone, through which each pod is a scrape target."""
    manifests = of_set(name)
    monitor = only(manifests, "ServiceMonitor")["spec"]
    (expression,) = monitor["selector"]["matchExpressions"]
    met = [
        each
        for each in manifests
        if each["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
        and each["metadata"]["labels"].get(expression["key"]) in expression["values"]
    ]

    assert [each["spec"]["clusterIP"] for each in met] == ["None"]
    assert met[0]["metadata"]["name"] == only(manifests, "StatefulSet")["spec"]["serviceName"]
    assert monitor["namespaceSelector"] == {"matchNames": [met[0]["metadata"]["namespace"]]}
    assert [each["port"] for each in monitor["endpoints"]] == [each["name"] for each in met[0]["spec"]["ports"]]


def test_openshift() -> None:
    """On OpenShift no pod names a user or group, and stays hardened."""
    manifests = of_set("openshift")
    contexts = [pod_of(manifests)["spec"]["securityContext"], only(manifests, "Pod")["spec"]["securityContext"]]

    assert not any({"runAsUser", "runAsGroup", "fsGroup"} & each.keys() for each in contexts)
    assert all(each["runAsNonRoot"] for each in contexts)
    assert exporter_of(manifests)["image"].startswith("image-registry.openshift-image-registry.svc:5000/media/")
    (dns, *_) = only(manifests, "NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in dns["ports"]} == {5353}


def test_credentials_file() -> None:
    """The credentials file is mounted as a folder, so that the kubelet updates it, and its path is in the variable."""
    manifests = of_set("credentials-file")
    mounts = {each["name"]: each for each in exporter_of(manifests)["volumeMounts"]}

    assert variables(manifests)["ALIBABA_CLOUD_CREDENTIALS_FILE"] == f"{mounts['credentials']['mountPath']}/ims.ini"
    assert "subPath" not in mounts["credentials"]
    assert "100.100.100.200" not in json.dumps(only(manifests, "NetworkPolicy"))


def test_ingress() -> None:
    """The Ingress leads each path of each host to the Service, and the rules link to it."""
    manifests = of_set("ingress")
    rules = only(manifests, "Ingress")["spec"]["rules"]
    service = only(manifests, "Service", "exporter")

    assert [(rule["host"], [path["path"] for path in rule["http"]["paths"]]) for rule in rules] == [
        ("ims.example", ["/failures", "/"]),
        ("ims.media.example", ["/failures", "/"]),
    ]
    assert {path["backend"]["service"]["name"] for rule in rules for path in rule["http"]["paths"]} == {
        service["metadata"]["name"]
    }
    assert "https://ims.example/failures" in json.dumps(only(manifests, "PrometheusRule"))


def test_labels_do_not_collide(tmp_path: Path) -> None:
    """A label that is set twice occurs once, and no label overrides a selector label."""
    both = {"team": "a", "app.kubernetes.io/name": "other"}
    values = {"config": {"region_id": "cn-shanghai"}, "commonLabels": both, "podLabels": {"team": "b"}}

    labels = pod_of(rendered_from(values, tmp_path))["metadata"]["labels"]

    assert (labels["team"], labels["app.kubernetes.io/name"]) == ("b", "ims-exporter")


def test_shards() -> None:
    """Pods derive their shard from their names; their volumes are kept, even if the StatefulSet is scaled to zero."""
    manifests = of_set("shards")
    stateful_set = only(manifests, "StatefulSet")["spec"]
    environ = variables(manifests)

    assert stateful_set["replicas"] == 3
    assert environ["IMS_EXPORTER_SHARDS"] == "3"
    assert environ["HOSTNAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "persistentVolumeClaimRetentionPolicy" not in stateful_set


def test_one_pod_needs_no_shards() -> None:
    """By default there is one pod without shard settings, and its volume is kept."""
    manifests = rendered(*REGION)
    stateful_set = only(manifests, "StatefulSet")["spec"]

    assert stateful_set["replicas"] == 1
    assert not {"IMS_EXPORTER_SHARDS", "HOSTNAME"} & variables(manifests).keys()
    assert "persistentVolumeClaimRetentionPolicy" not in stateful_set
