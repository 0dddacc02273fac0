"""The workflows run everything on every supported Python, with pinned actions and minimal rights."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.project.test_packages import SUPPORTED
from tests.support.repository import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
WORKFLOWS: dict[str, dict[str, Any]] = {name: yaml.load(text, yaml.BaseLoader) for name, text in TEXTS.items()}  # noqa: S506 - strings only, so that `on` is no switch
PINNED = re.compile(r"^ *(?:- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
LOCAL = re.compile(r"^ *(?:- )?uses: \./(\.github/workflows/\w+\.yml)$")
MAKE = re.compile(r"\bmake ([^\n&]+)")
VARIABLE = re.compile(r"""\b[A-Z]+=("[^"]*"|\S+)""")
RELEASED = {
    "packages": {"contents": "read", "id-token": "write", "attestations": "write"},
    "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    "release": {"contents": "write"},
    "ci": {"contents": "read"},
}
"""The rights of each job of a release."""

each_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """Returns the jobs of a workflow by name."""
    found: dict[str, dict[str, Any]] = WORKFLOWS[name]["jobs"]
    return found


def commands(name: str) -> str:
    """Returns the commands of all steps of a workflow."""
    return "\n".join(step["run"] for job in jobs(name).values() for step in job.get("steps", []) if "run" in step)


def test_there_are_two() -> None:
    """There is a workflow for changes and one for releases."""
    assert list(TEXTS) == ["ci.yml", "release.yml"]


@each_workflow
def test_actions_cannot_change(name: str) -> None:
    """Every action is pinned by commit, with its version; a workflow of this repository exists."""
    lines = [line for line in TEXTS[name].splitlines() if "uses:" in line]
    local = [found[1] for line in lines if (found := LOCAL.match(line))]

    assert lines
    assert [line for line in lines if not PINNED.match(line) and not LOCAL.match(line)] == []
    assert all((ROOT / path).is_file() for path in local)


def test_an_action_has_one_version() -> None:
    """Both workflows use the same commit of an action."""
    used = {line.split("uses: ")[1] for text in TEXTS.values() for line in text.splitlines() if PINNED.match(line)}

    assert len({each.split("@")[0] for each in used}) == len(used)


@each_workflow
def test_rights_are_few(name: str) -> None:
    """By default a job can only read the code, and leaves no token in its checkout."""
    steps = [step for job in jobs(name).values() for step in job.get("steps", [])]
    checkouts = [step["with"] for step in steps if step.get("uses", "").startswith("actions/checkout@")]

    assert WORKFLOWS[name]["permissions"] in ({}, {"contents": "read"})
    assert all(given["persist-credentials"] == "false" for given in checkouts)
    assert "pull_request_target" not in WORKFLOWS[name]["on"]


def test_rights_of_a_release() -> None:
    """Each job of a release has the rights that it needs, and no other job has any."""
    assert {name: job["permissions"] for name, job in jobs("release.yml").items()} == RELEASED
    assert WORKFLOWS["release.yml"]["permissions"] == {}
    assert [name for name, job in jobs("ci.yml").items() if "permissions" in job] == []


@each_workflow
def test_no_text_from_outside_becomes_a_command(name: str) -> None:
    """Commands take names of branches, tags and people only as variables."""
    assert "${{" not in commands(name)


@each_workflow
def test_every_target_is_there(name: str) -> None:
    """Every target that a workflow makes is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = {word for line in MAKE.findall(commands(name)) for word in VARIABLE.sub("", line).split()}

    assert made
    assert made <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_everything_runs_once_and_the_tests_on_each_python() -> None:
    """One job is `.ci/run` itself; another runs the tests that need no tools on each version named."""
    everything, pythons = jobs("ci.yml")["all"], jobs("ci.yml")["pythons"]

    assert everything["steps"][-1]["run"] == ".ci/run"
    assert tuple(pythons["strategy"]["matrix"]["python"]) == SUPPORTED
    assert "make test ARGS=\"-m 'not tools'\"" in commands("ci.yml")
    assert "make audit ARGS=--online" in commands("ci.yml")


def test_runs_do_not_pile_up() -> None:
    """A newer commit of a change cancels the run of the older one, but no release is cancelled."""
    assert "pull_request" in WORKFLOWS["ci.yml"]["concurrency"]["cancel-in-progress"]
    assert "cancel-in-progress" not in WORKFLOWS["release.yml"]["concurrency"]


@each_workflow
def test_every_job_ends(name: str) -> None:
    """Every job has a timeout."""
    assert [key for key, job in jobs(name).items() if "timeout-minutes" not in job and "uses" not in job] == []


def test_a_release_waits_for_ci_and_for_the_tag_to_be_true() -> None:
    """Nothing is built before CI has passed and the tag matches the version; each job waits for the last one."""
    order = [(name, job.get("needs")) for name, job in jobs("release.yml").items()]
    steps = [step.get("run", "") for step in jobs("release.yml")["packages"]["steps"]]
    check = next(place for place, text in enumerate(steps) if "hatchling version" in text and "GITHUB_REF_NAME" in text)

    assert order == [("ci", None), ("packages", "ci"), ("image", "packages"), ("release", "image")]
    assert check < steps.index("make dist sbom")
    assert WORKFLOWS["release.yml"]["on"] == {"push": {"tags": ["v*"]}}


def test_what_a_release_has() -> None:
    """Packages and bill are attested and attached, the image is built for two platforms, the chart is pushed."""
    packages, image, release = (jobs("release.yml")[name]["steps"] for name in ("packages", "image", "release"))
    given = {step["uses"].split("@")[0]: step.get("with", {}) for step in (*packages, *image) if "uses" in step}

    assert given["docker/build-push-action"]["platforms"] == "linux/amd64,linux/arm64"
    assert given["actions/attest-sbom"]["sbom-path"] == "dist/ims-exporter.cdx.json"
    assert [step["with"] for step in packages if "attest-build-provenance" in step.get("uses", "")] == [
        {"subject-path": "dist/*"}
    ]
    assert given["actions/attest-build-provenance"]["push-to-registry"] == "true"
    assert "dist/*" in release[-1]["run"]


def test_the_released_image_is_the_tested_one() -> None:
    """The image is pushed without a tag, run and scanned on both platforms, and then gets its tag and its chart."""
    steps = jobs("release.yml")["image"]["steps"]
    text = [f"{step.get('uses', '')} {step.get('run', '')}" for step in steps]
    order = ["imagetools inspect", "build-push-action", ".ci/smoke-image", "imagetools create", "helm push"]
    places = [next(place for place, step in enumerate(text) if word in step) for word in order]
    build = steps[places[1]]["with"]

    assert places == sorted(places)
    assert ".ci/scan-image" in text[places[2]]
    assert all(platform in text[places[2]] for platform in build["platforms"].split(","))
    assert "push-by-digest=true" in build["outputs"]
    assert "tags" not in build
    assert "BASE=${{ steps.base.outputs.image }}" in build["build-args"]
    assert steps[-1]["with"]["subject-digest"] == "${{ steps.chart.outputs.digest }}"


def test_updates_are_proposed() -> None:
    """Dependabot watches the actions, the locks and the base image."""
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))

    assert {each["package-ecosystem"]: each["directory"] for each in config["updates"]} == {
        "github-actions": "/",
        "pip": "/requirements",
        "docker": "/",
    }
