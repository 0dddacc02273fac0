"""Valid options result in rules that Prometheus loads; invalid ones are rejected with a message that names the fix."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from exporter import rules
from exporter.errors import SettingsError
from exporter.rules.options import base_url, matchers
from tests.support.real_tools import need

if TYPE_CHECKING:
    from pathlib import Path

SELECTORS = {
    "": "",
    "  ": "",
    'namespace="media"': 'namespace="media"',
    ' namespace = "media" , cluster != "a" ,': 'namespace="media",cluster!="a"',
    "namespace=~'ims.*|media',job!~`a\\d`": "namespace=~'ims.*|media',job!~`a\\d`",
    r'team="a\"b,\\",x=~"\\(a\\)"': r'team="a\"b,\\",x=~"\\(a\\)"',
    'x=~"[[:alpha:]]+",y="{}"': 'x=~"[[:alpha:]]+",y="{}"',
}
"""Selectors as given, and as written to the rules."""


@pytest.mark.parametrize(("text", "expected"), SELECTORS.items())
def test_selector(text: str, expected: str) -> None:
    """Label matchers are accepted in every form of PromQL."""
    assert matchers("--selector", text) == expected


@pytest.mark.tools
def test_selectors_load(tmp_path: Path) -> None:
    """Prometheus loads the rules with each selector."""
    paths = [
        path
        for number, selector in enumerate(SELECTORS.values())
        for path in rules.write_rules(
            tmp_path / str(number), rules.rule_files(rules.Thresholds(), selector=matchers("", selector))
        )
    ]

    command = [str(need("promtool")), "check", "rules", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our choice

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "namespace=media",
        "namespace",
        "}",
        '{namespace="media"}',
        'namespace="media"}',
        'namespace="media" cluster="a"',
        ',namespace="media"',
        'namespace="media',
        'namespace=="media"',
        'name-space="media"',
        r'namespace=~"a\d"',
        'namespace="a\nb"',
        'namespace="a", or up',
    ],
)
def test_no_selector(text: str) -> None:
    """Invalid label matchers are rejected, with an example of a valid one."""
    with pytest.raises(SettingsError, match=r'--selector: .+ is not a label matcher: write namespace="media"'):
        matchers("--selector", text)


@pytest.mark.parametrize(
    "label", ["account", "region_id", "job_type", "job_state", "version", "instance", "pod", "__name__"]
)
def test_label_that_not_all_series_have(label: str) -> None:
    """A label that some metrics lack would cause missing or false alerts: it is rejected by name."""
    with pytest.raises(SettingsError, match=f"has the label {label}; choose a label of the scrape target"):
        matchers("--selector", f'{label}="x"')


@pytest.mark.parametrize("pattern", ['"("', '"*"', "`(?!x)`", '"(?<=a)b"'])
def test_no_regular_expression(pattern: str) -> None:
    """A regular expression that Prometheus does not support is rejected."""
    with pytest.raises(SettingsError, match="is not a regular expression: "):
        matchers("--selector", f"namespace=~{pattern}")
    assert matchers("--selector", f"namespace={pattern}")


@pytest.mark.parametrize(
    "url",
    ["http://localhost:3000/d", "https://grafana.example.com/a/d/", "http://[::1]:9912", rules.RUNBOOK_BASE_URL],
)
def test_address(url: str) -> None:
    """A URL to which paths can be appended is accepted unchanged."""
    assert base_url("--x", url) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "contains an invalid character"),
        ("http://x/a\nb", "contains an invalid character"),
        ('http://x/"', "contains an invalid character"),
        ("http://x/{{ .Value }}", "contains an invalid character"),
        ("http://x/a?b=c", "contains an invalid character"),
        ("http://x/a b", "contains an invalid character"),
        ("grafana.example.com/d", "must begin with http"),
        ("ftp://x/", "must begin with http"),
        ("https:///d", "must begin with http"),
        ("http://[::1", "is not valid"),
        ("http://x:99999/", "is not valid"),
        ("http://user:canary@x/", "must not contain a user name"),
    ],
)
def test_no_address(url: str, problem: str) -> None:
    """An invalid base URL is rejected by the name of the option, without the URL, which may contain a password."""
    with pytest.raises(SettingsError, match=f"--x: the URL {problem}") as refused:
        base_url("--x", url)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("key", ['A"B', "A B", "a|b", "1", "x" * 65])
def test_no_job_type(key: str) -> None:
    """A threshold for an invalid job type is rejected."""
    with pytest.raises(SettingsError, match=re.escape(f"{key!r} is not a valid job type")):
        rules.changed(rules.Thresholds(), [f"stuck_seconds.{key}=60"])
