"""Options of the rules: thresholds such as `failure_ratio=0.2`, a selector, base URLs of the links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter.errors import SettingsError
from exporter.metrics.table import METRICS
from exporter.rules.promql import REPLICA_LABELS
from exporter.rules.regular_expression import check_pattern
from exporter.rules.thresholds import Thresholds
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import Field

FIELDS = {field.name: field for field in fields(Thresholds)}
JOB_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

ESCAPE = r"\\(?:[abfnrtv\\%s]|x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|u[0-9A-Fa-f]{4})"
QUOTED = rf'"(?:[^"\\]|{ESCAPE % chr(34)})*"|\'(?:[^\'\\]|{ESCAPE % chr(39)})*\'|`[^`]*`'
MATCHER = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*({QUOTED})\s*(?:,|$)")
"""One label matcher of PromQL, with the comma or the end of the text after it."""

ESCAPED = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
SURROGATES = range(0xD800, 0xE000)

UNSELECTABLE = {"__name__", *REPLICA_LABELS, "le", *(label for metric in METRICS for label in metric.labels)}
"""Labels that a selector cannot use: the rules aggregate over them, or some metrics lack them."""

URL = re.compile(r"[A-Za-z0-9._~:/\[\]@!$&()*+,;=%-]+")


def changed(thresholds: Thresholds, assignments: Iterable[str]) -> Thresholds:
    """Returns the thresholds with the assignments applied in order; raises SettingsError for the first invalid one."""
    for assignment in assignments:
        path, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise SettingsError(f"{assignment!r} is not an assignment: write failure_ratio=0.2")
        name, _, job_type = path.partition(".")
        if name not in FIELDS:
            raise SettingsError(f"{name}: no such threshold{did_you_mean(name, FIELDS, or_list=True)}")
        old, new = getattr(thresholds, name), _number(FIELDS[name], path, text)
        if isinstance(old, Mapping) and not job_type:
            raise SettingsError(f"{path}: a threshold per job type; write {name}.ASR={text}")
        if job_type and not isinstance(old, Mapping):
            raise SettingsError(f"{path}: not a threshold per job type; write {name}={text}")
        if job_type and JOB_TYPE.fullmatch(job_type) is None:
            raise SettingsError(f"{path}: {job_type!r} is not a valid job type; a job type is a name such as ASR")
        change: dict[str, Any] = {name: {**old, job_type: new} if job_type else new}
        thresholds = replace(thresholds, **change)
    return thresholds


def matchers(option: str, text: str) -> str:
    """Returns label matchers without whitespace between them; raises SettingsError if a rule could not use them."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        match = MATCHER.match(rest) if rest.isprintable() else None
        if match is None:
            raise SettingsError(
                f'{option}: {rest!r} is not a label matcher: write namespace="media", separate matchers by commas, '
                "and omit the braces"
            )
        label, operator, quoted = match.groups()
        if label in UNSELECTABLE:
            raise SettingsError(
                f"{option}: not every series that the rules read has the label {label}; choose a label of the scrape "
                "target, such as namespace, cluster or job"
            )
        if operator.endswith("~"):
            _check_pattern(option, quoted)
        found.append(f"{label}{operator}{quoted}")
        rest = rest[match.end() :]
    return ",".join(found)


def base_url(option: str, text: str) -> str:
    """Returns a URL to which paths can be appended and that an alert can contain; raises SettingsError."""
    problem = _url_problem(text)
    if problem:
        raise SettingsError(f"{option}: {problem}; write a URL such as https://grafana.example.com/d")
    return text


def listing(thresholds: Thresholds) -> str:
    """Returns two lines per threshold: its name with its value, and its description."""
    return "\n".join(f"  {', '.join(_values(thresholds, name))}\n      {description(name)}" for name in FIELDS)


def description(name: str) -> str:
    """Returns the description of a threshold."""
    return str(FIELDS[name].metadata["description"])


def _values(thresholds: Thresholds, name: str) -> list[str]:
    value = getattr(thresholds, name)
    if isinstance(value, Mapping):
        return [f"{name}.{job_type}={number}" for job_type, number in value.items()]
    return [f"{name}={value}"]


def _number(field: Field[object], path: str, text: str) -> float:
    """Parses a number of the type of a field, within the bounds of the field."""
    is_whole = field.type != "float"
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    try:
        value = int(text) if is_whole else float(text)
    except ValueError:
        value = -1
    if not minimum <= value <= maximum:
        kind = "whole number" if is_whole else "number"
        raise SettingsError(f"{path}: {text!r} is not a {kind} from {minimum} to {maximum}")
    return value


def _check_pattern(option: str, quoted: str) -> None:
    """Raises SettingsError for a regular expression that Prometheus would reject."""
    try:
        check_pattern(_unquoted(quoted))
    except ValueError as error:
        raise SettingsError(f"{option}: {quoted} is not a regular expression: {error}") from None


def _unquoted(quoted: str) -> str:
    """Returns the text of a string of PromQL; raises ValueError if it is not UTF-8."""
    if quoted.startswith("`"):
        return quoted[1:-1]

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code in SINGLE:
            return SINGLE[code]
        if code[0] in "xu":
            number = int(code[1:], 16)
        elif code[0].isdigit():
            number = int(code, 8)
        else:
            return code
        if number in SURROGATES or (code[0] != "u" and number > 127):  # noqa: PLR2004 - a byte, and not of ASCII
            raise ValueError(f"{match[0]} is not UTF-8")
        return chr(number)

    return ESCAPED.sub(character, quoted[1:-1])


def _url_problem(text: str) -> str:
    """Returns the reason why a text cannot be the base of a link, or an empty text if it can."""
    if URL.fullmatch(text) is None:
        return "the URL contains an invalid character (blanks, quotes, braces, ? and # are not allowed)"
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "the URL is not valid"
    if parts.scheme not in {"http", "https"} or not has_host:
        return "the URL must begin with http:// or https:// and a host"
    return "the URL must not contain a user name or password" if "@" in parts.netloc else ""
