"""The documents match the repository: links, commands, make targets, metrics, packages, files and quoted output."""

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
METRIC = re.compile(r"\bims_(?:jobs\b|(?:jobs?|exporter)_[a-z_]*[a-z]\b)(?![*_])")
FILE = re.compile(r"`((?:benchmarks|docs|examples|exporter|helm|requirements|tests|tools)/[\w./*-]+)`")
SUFFIX = re.compile(r"_(bucket|sum|count)$")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(document: Path) -> str:
    """Returns the text of a document."""
    return document.read_text(encoding="utf-8")


def code_of(text: str) -> str:
    """Returns the code of a document: fenced blocks and inline code."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", text)])


def block(language: str) -> str:
    """Returns the only fenced block of the README in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(found)


def anchors(document: Path) -> set[str]:
    """Returns the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_relative_link_has_a_target(document: Path) -> None:
    """A link within the repository points to a file or folder that exists, and its anchor to a heading."""
    for link in LINK.findall(text_of(document)):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_every_make_target_exists(document: Path) -> None:
    """A document names only targets of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))

    assert set(MAKE.findall(code_of(text_of(document)))) <= targets


@each_document
def test_every_command_exists(document: Path) -> None:
    """A document names only commands of the exporter."""
    assert set(COMMAND.findall(code_of(text_of(document)))) <= commands()


def test_readme_lists_all_commands() -> None:
    """The README's table has a row for every command."""
    assert set(re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE)) == commands()


@each_document
def test_every_metric_exists(document: Path) -> None:
    """A document names only metrics of the exporter or of the recording rules."""
    files = [yaml.safe_load(text) for text in rule_files(Thresholds()).values()]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    recorded = {rule["record"].partition(":")[0] for rule in rules if "record" in rule}
    known = recorded | {metric.name for metric in METRICS}

    named = set(METRIC.findall(code_of(text_of(document))))

    assert {name for name in named if name not in known and SUFFIX.sub("", name) not in known} == set()


def test_architecture_names_packages_and_files_that_exist() -> None:
    """Every package in the table of packages, and every Python file named on the page, exists."""
    text = text_of(ROOT / "docs" / "architecture.md")
    rows = re.findall(r"^\| (`.*?`) \|.*\| `[\w/]+\.py` \|$", text, re.MULTILINE)
    packages = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    files = re.findall(r"`([\w/]+\.py)`", text)

    assert sorted(packages) == sorted(path.parent.name for path in ROOT.glob("exporter/*/__init__.py"))
    assert [name for name in files if not (ROOT / "exporter" / name).is_file()] == []


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=lambda path: path.name
)
def test_every_file_named_exists(document: Path) -> None:
    """A path of the repository that a document names exists; `*` and words in capitals mean any name."""
    named = FILE.findall(text_of(document))

    assert [path for path in named if not [*ROOT.glob(re.sub(r"[A-Z]{3,}", "*", path))]] == []


def test_decisions_are_all_listed() -> None:
    """The index of decisions links to every decision."""
    folder = ROOT / "docs" / "adr"

    assert set(LINK.findall(text_of(folder / "README.md"))) == {path.name for path in folder.glob("[0-9]*.md")}


def test_readme_shows_the_policy_that_check_prints() -> None:
    """The RAM policy in the README is the one that `check` prints."""
    assert json.loads(block("json")) == json.loads(ram_policy())


@pytest.mark.tools
def test_prometheus_accepts_the_configuration_in_the_readme(tmp_path: Path) -> None:
    """Prometheus accepts the configuration in the README and finds the rules."""
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
    """Returns the commands that the exporter's help lists."""
    return set(re.findall(r"^ {4}([a-z]+) ", make_parser().format_help(), re.MULTILINE))
