"""The documents are true where a machine can tell: links, commands, targets, metrics, modules and what they quote."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.commands.check import ram_policy
from exporter.commands.cli import make_parser
from exporter.metrics.table import METRICS
from exporter.rules import Thresholds, rule_files, write_rules
from tests.support.real_tools import need
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")
COMMAND = re.compile(r"\bims-exporter ([a-z]+)\b")
METRIC = re.compile(r"\bims_(?:smart|exporter)_[a-z_]+[a-z]\b(?![*_])")
SUFFIX = re.compile(r"_(bucket|sum|count)$")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(document: Path) -> str:
    """Returns the text of a document."""
    return document.read_text(encoding="utf-8")


def code_of(text: str) -> str:
    """Returns what stands in a document as code, fenced or within a line."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", text)])


def block(language: str) -> str:
    """Returns the README's one block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(found)


def anchors(document: Path) -> set[str]:
    """Returns the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    """A link within the repository leads to a file or folder that is there, and to a heading in it if it names one."""
    for link in LINK.findall(text_of(document)):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_every_make_target_named_is_there(document: Path) -> None:
    """A document names only targets that the Makefile has."""
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))

    assert set(MAKE.findall(code_of(text_of(document)))) <= targets


@each_document
def test_every_command_named_is_there(document: Path) -> None:
    """A document names only commands that the exporter has."""
    assert set(COMMAND.findall(code_of(text_of(document)))) <= commands()


def test_readme_lists_all_commands() -> None:
    """The README's table has a row for every command."""
    assert set(re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE)) == commands()


@each_document
def test_every_metric_named_is_there(document: Path) -> None:
    """A document names only metrics that the exporter has, or that the rules record."""
    files = [yaml.safe_load(text) for text in rule_files(Thresholds()).values()]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    recorded = {rule["record"].partition(":")[0] for rule in rules if "record" in rule}
    known = recorded | {metric.name for metric in METRICS}

    named = set(METRIC.findall(code_of(text_of(document))))

    assert {name for name in named if name not in known and SUFFIX.sub("", name) not in known} == set()


def test_architecture_names_modules_that_are_there() -> None:
    """The first column of the table of modules holds modules and packages that exist."""
    rows = re.findall(r"^\| (`.*?`) \|", text_of(ROOT / "docs" / "architecture.md"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]

    assert named
    assert [name for name in named if not [*ROOT.glob(f"exporter/{name}.py"), *ROOT.glob(f"exporter/{name}/")]] == []


def test_decisions_are_all_listed() -> None:
    """The index of the decisions links to every one of them."""
    folder = ROOT / "docs" / "adr"

    assert set(LINK.findall(text_of(folder / "README.md"))) == {path.name for path in folder.glob("[0-9]*.md")}


def test_readme_has_the_policy_that_check_prints() -> None:
    """The RAM policy is the one that the exporter itself asks for."""
    assert json.loads(block("json")) == json.loads(ram_policy())


@pytest.mark.tools
def test_readme_has_a_configuration_that_prometheus_takes(tmp_path: Path) -> None:
    """Prometheus takes the configuration in the README, with the rules written beside it."""
    write_rules(tmp_path / "rules", rule_files(Thresholds()))
    (tmp_path / "prometheus.yml").write_text(block("yaml"), encoding="utf-8")

    done = subprocess.run(  # noqa: S603 - a tool of our own choice
        [str(need("promtool")), "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def commands() -> set[str]:
    """Returns the exporter's commands, as its help lists them."""
    return set(re.findall(r"^ {4}([a-z]+) ", make_parser().format_help(), re.MULTILINE))
