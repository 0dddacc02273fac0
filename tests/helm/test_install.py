"""An installation rejects wrong values, its notes name the next steps, and `helm test` reports whether it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.helm_chart import REGION, VALUE_SETS, exporter_of, helm, of_set, only, refusal, rendered
from tests.support.helm_tool import need_helm
from tools.chart.values import CHART

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

DOCUMENT = CHART.parent.parent / "docs" / "install-kubernetes.md"
EXAMPLES = re.findall(
    r"^```yaml\n(?!# prometheus.yml)(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("demo=false", "nothing to poll: set config.region_id, or config.targets"),
        ("config.region=cn-shanghai", "at '/config': additional properties 'region' not allowed"),
        ("config.region_id=cn-shanghai,config.ledger_path=/x", "additional properties 'ledger_path' not allowed"),
        ("config.region_id=cn-shanghai,config.lookback_days=0", "minimum: got 0, want 1"),
        ("config.targets[0].account=prod", "missing property 'region_id'"),
        ("config.region_id=cn-x,config.targets[0].region_id=cn-y", "config.region_id and config.targets are both set"),
        ("config.region_id=cn-x,existingConfigMap=mine", "config and existingConfigMap are both set"),
        ("persistance.enabled=false", "additional properties 'persistance' not allowed"),
        ("persistence.enabled=maybe", "got string, want boolean"),
        ("image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("resources.limit.cpu=1", "at '/resources': additional properties 'limit' not allowed"),
        ("tolerations[0].efect=NoSchedule", "additional properties 'efect' not allowed"),
        ("livenessProbe.periodSecond=1", "additional properties 'periodSecond' not allowed"),
        ("securityContext.runAsUsr=1", "additional properties 'runAsUsr' not allowed"),
        ("config.region_id=cn-x,serviceMonitor.enabled=true,podMonitor.enabled=true", "would be scraped twice"),
        ("config.region_id=cn-x,ingress.enabled=true", "ingress.enabled is on without a host"),
        ("config.region_id=cn-x,webConfig.tls=true", "webConfig.tls is on without webConfig.existingSecret"),
        (
            "config.region_id=cn-x,credentials.existingSecret=a,credentials.ecsRole=b",
            "credentials.ecsRole, credentials.existingSecret are all set",
        ),
        ("config.region_id=cn-x,credentials.accessKeyId=a", "belong together: set both"),
        ("config.region_id=cn-x,credentials.rrsa.roleArn=acs:ram::1:role/x", "belong together: set both"),
        ("config.region_id=cn-x,credentials.rrsa.roleName=x,serviceAccount.create=false", "annotate yours with"),
        ("config.region_id=cn-x,credentials.securityToken=x", "which is not set"),
        (
            "config.targets[0].region_id=cn-x,config.targets[1].region_id=cn-x,config.targets[1].account=default",
            "two of config.targets have account default, region_id cn-x: give one of them another account",
        ),
        ("config.region_id=cn-x,config.account=a/b", "at '/config/account': 'a/b' does not match pattern"),
        ("fullnameOverride=Media", "at '/fullnameOverride': 'Media' does not match pattern"),
        ("credentials.existingSecret=my_key", "at '/credentials/existingSecret': 'my_key' does not match pattern"),
        ("commonLabels.team=a b", "at '/commonLabels/team': 'a b' does not match pattern"),
        ("podAnnotations.a\\ b=x", "at '/podAnnotations': additional properties 'a b' not allowed"),
        ("prometheusRule.alertLabels.on-call=x", "alertLabels': additional properties 'on-call' not allowed"),
    ],
)
def test_wrong_values_are_refused(values: str, said: str) -> None:
    """Unknown, mistyped and contradictory values are rejected, and the message names them."""
    assert said in refusal("--set", values)


@pytest.mark.parametrize("name", sorted(VALUE_SETS))
def test_notes(name: str) -> None:
    """The notes after the installation name the Service and missing configuration."""
    done = helm("install", "--dry-run=client", "--values", str(VALUE_SETS[name]))
    notes = done.stdout.partition("\nNOTES:\n")[2]

    assert done.returncode == 0, done.stderr
    assert "port-forward service/" in notes
    assert ("No alerts are configured yet" in notes) == (name not in {"monitored", "ingress", "umbrella"})


def test_helm_test_waits_for_a_real_exporter() -> None:
    """`helm test` runs a command of the exporter that reports that a real exporter polls."""
    container = only(rendered(*REGION), "Pod")["spec"]["containers"][0]
    command = [sys.executable, "-m", "exporter", "demo", "--listen-address", "127.0.0.1:0", "--history", "10"]
    assert "command" not in container

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as exporter:  # noqa: S603 - ours
        found = next((url for line in exporter.stdout or () if (url := base_url(line))), "")
        assert found, "the demo ended before it listened"
        done = run_test(container["args"], found)
        exporter.terminate()

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{found} is ready: /metrics answers 200\n"


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("region", ["--pods=1", "--active=1"]),
        ("shards", ["--pods=3", "--active=3"]),
        ("standby", ["--pods=2", "--active=1"]),
    ],
)
def test_helm_test_expects_every_pod(name: str, numbers: list[str]) -> None:
    """Every pod must be ready: with shards all of them poll, with standby one does."""
    arguments = only(of_set(name), "Pod")["spec"]["containers"][0]["args"]

    assert arguments[-3:] == ["--url=http://ims-ims-exporter-pods:9912", *numbers]


def test_helm_test_says_what_is_wrong() -> None:
    """`helm test` fails if nothing answers, and names the URL."""
    arguments = only(rendered(*REGION), "Pod")["spec"]["containers"][0]["args"]

    done = run_test([word.replace("--wait=120", "--wait=0") for word in arguments], "http://127.0.0.1:1")

    assert done.returncode == 1
    assert "http://127.0.0.1:1/readyz: " in done.stdout


def base_url(line: str) -> str:
    """Returns the exporter's base URL if a line names it, else nothing."""
    found = re.search(r"(http://127\.0\.0\.1:\d+)/metrics", line)
    return found[1] if found else ""


def run_test(arguments: list[str], url: str) -> subprocess.CompletedProcess[str]:
    """Runs the command of `helm test` on a URL."""
    words = [f"--url={url}" if word.startswith("--url=") else word for word in arguments]
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "exporter", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_in_the_document_render(example: str, tmp_path: Path) -> None:
    """The chart takes every example of values that the installation guide shows."""
    (tmp_path / "values.yaml").write_text(example, encoding="utf-8")

    assert rendered(*REGION, "--values", str(tmp_path / "values.yaml"))


def test_names_in_the_document_are_those_of_the_release() -> None:
    """The guide's commands name the objects that its release has."""
    named = set(re.findall(r"\bims-ims-exporter\b", DOCUMENT.read_text(encoding="utf-8")))

    assert named == {only(rendered(*REGION), "StatefulSet")["metadata"]["name"]}


def test_links_of_the_readme_lead_somewhere() -> None:
    """Each link of the chart's README leads to a file or folder that is there."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", (CHART / "README.md").read_text(encoding="utf-8"))

    assert links
    assert [link for link in links if not (CHART / link).exists()] == []


def test_the_released_chart_names_the_released_image(tmp_path: Path) -> None:
    """The script of the release workflow packages the chart with the image that was tested, by its digest."""
    image, digest = "registry.example/team/ims-exporter", f"sha256:{'0' * 64}"
    subprocess.run(  # noqa: S603 - ours
        [str(CHART.parents[1] / ".ci" / "package-chart"), image, digest, str(tmp_path), "0.1.0"],
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, "HELM": str(need_helm())},
    )
    (packed,) = tmp_path.glob("*.tgz")

    assert exporter_of(rendered(*REGION, chart=packed))["image"] == f"{image}@{digest}"


def test_the_package_renders_the_same(tmp_path: Path) -> None:
    """The packaged chart is complete, and renders the same manifests as the folder."""
    subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need_helm()), "package", str(CHART), "--destination", str(tmp_path)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    (packed,) = tmp_path.glob("*.tgz")
    monitored = ("--values", str(VALUE_SETS["monitored"]))

    assert rendered(*monitored, chart=packed) == rendered(*monitored)
    assert packed.stat().st_size < 200_000
