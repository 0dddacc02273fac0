"""The options of the rules as people write them: thresholds such as `failure_ratio=0.2`, a selector, addresses."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter.errors import SettingsError
from exporter.metrics.table import METRICS
from exporter.rules.promql import REPLICAS
from exporter.rules.thresholds import Thresholds
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import Field

FIELDS = {one.name: one for one in fields(Thresholds)}
JOB_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

ESCAPE = r"\\(?:[abfnrtv\\%s]|x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|u[0-9A-Fa-f]{4})"
QUOTED = rf'"(?:[^"\\]|{ESCAPE % chr(34)})*"|\'(?:[^\'\\]|{ESCAPE % chr(39)})*\'|`[^`]*`'
MATCHER = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*({QUOTED})\s*(?:,|$)")
"""One label matcher of PromQL, with the comma or the end after it."""

ESCAPED = re.compile(r"\\([\\\"'])")
LOOK_AROUND = re.compile(r"\(\?<?[=!]")

NOT_OF_THE_TARGET = {"__name__", *REPLICAS, "le", *(label for metric in METRICS for label in metric.labels)}
"""Labels that the rules aggregate away, or that only some of the exporter's series have."""

URL_SIGNS = re.compile(r"[A-Za-z0-9._~:/\[\]@!$&()*+,;=%-]+")


def changed(thresholds: Thresholds, assignments: Iterable[str]) -> Thresholds:
    """Returns the thresholds with the assignments applied in order; raises SettingsError for the first wrong one."""
    for assignment in assignments:
        place, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise SettingsError(f"{assignment!r} is no assignment: write failure_ratio=0.2")
        name, _, key = place.partition(".")
        if name not in FIELDS:
            raise SettingsError(f"{name}: no such threshold{did_you_mean(name, FIELDS, or_list=True)}")
        old, new = getattr(thresholds, name), _number(FIELDS[name], place, text)
        if isinstance(old, Mapping) != bool(key):
            wanted = "name the job type, as in " if not key else "has no parts: write "
            raise SettingsError(f"{place}: {wanted}{name}{'' if key else '.ASR'}={text}")
        if key and JOB_TYPE.fullmatch(key) is None:
            raise SettingsError(f"{place}: {key!r} is not the name of a job type, such as ASR")
        change: dict[str, Any] = {name: {**old, key: new} if key else new}
        thresholds = replace(thresholds, **change)
    return thresholds


def matchers(option: str, text: str) -> str:
    """Returns label matchers that every rule can carry, without the blanks between them; raises SettingsError."""
    found: list[str] = []
    left = text.strip()
    while left:
        match = MATCHER.match(left) if left.isprintable() else None
        if match is None:
            raise SettingsError(
                f'{option}: {left!r} is no label matcher: write namespace="media", more of them with commas between, '
                "without braces"
            )
        label, operator, quoted = match.groups()
        if label in NOT_OF_THE_TARGET:
            raise SettingsError(
                f"{option}: not every series that the rules read has the label {label}; choose one that the scrape "
                "target has, such as namespace, cluster or job"
            )
        if operator.endswith("~"):
            _check_pattern(option, quoted)
        found.append(f"{label}{operator}{quoted}")
        left = left[match.end() :]
    return ",".join(found)


def base_url(option: str, text: str) -> str:
    """Returns an address that paths can be put behind, and that can stand in an alert; raises SettingsError."""
    problem = _url_problem(text)
    if problem:
        raise SettingsError(f"{option}: {problem}; write it as https://grafana.example.com/d")
    return text


def listing(thresholds: Thresholds) -> str:
    """Returns two lines for each threshold: its name and value, and what it means."""
    return "\n".join(f"  {', '.join(_values(thresholds, name))}\n      {meaning(name)}" for name in FIELDS)


def meaning(name: str) -> str:
    """Returns what a threshold means."""
    return str(FIELDS[name].metadata["meaning"])


def _values(thresholds: Thresholds, name: str) -> list[str]:
    value = getattr(thresholds, name)
    if isinstance(value, Mapping):
        return [f"{name}.{key}={number}" for key, number in value.items()]
    return [f"{name}={value}"]


def _number(field: Field[object], place: str, text: str) -> float:
    """Reads a number of the kind and within the bounds of its field."""
    is_whole = field.type != "float"
    least, most = field.metadata["least"], field.metadata["most"]
    try:
        value = int(text) if is_whole else float(text)
    except ValueError:
        value = -1
    if not least <= value <= most:
        kind = "whole number" if is_whole else "number"
        raise SettingsError(f"{place}: {text!r} is not a {kind} from {least} to {most}")
    return value


def _check_pattern(option: str, quoted: str) -> None:
    """Raises SettingsError for what Prometheus would not take as a regular expression."""
    text = quoted[1:-1] if quoted.startswith("`") else ESCAPED.sub(r"\1", quoted[1:-1])
    problem = "it looks around, which Prometheus cannot do" if LOOK_AROUND.search(text) else ""
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(text)
    except re.error as error:
        problem = error.msg
    if problem:
        raise SettingsError(f"{option}: {quoted} is not a regular expression: {problem}")


def _url_problem(text: str) -> str:
    """Says what keeps a text from being the beginning of a link, nothing if it is a good one."""
    if URL_SIGNS.fullmatch(text) is None:
        return "the address has a sign in it that no such address has (blanks, quotes, braces, ? and # are none)"
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "the address is not valid"
    if parts.scheme not in {"http", "https"} or not has_host:
        return "the address must begin with http:// or https:// and a host"
    return "the address must not contain a user name or password" if "@" in parts.netloc else ""
