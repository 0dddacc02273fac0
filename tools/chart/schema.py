"""The JSON schema of the chart's values, from values.yaml, the settings, the rules and definitions of Kubernetes."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any

from exporter.config.settings import Settings
from exporter.config.validators import DURATION, UNITS_OF_SETTINGS
from exporter.rules import Alert, Thresholds, groups
from tools.chart.values import Value, chart_values

NEWEST = "1.37.0"
"""The version of Kubernetes whose definitions the schema contains."""

SET_BY_CHART = (
    "lease_name",
    "lease_seconds",
    "ledger_path",
    "listen_address",
    "shard",
    "shards",
    "standby",
    "web_config_file",
)
NOTES = ("title", "description", "default", "examples", "format")
QUALIFIED = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
"""A valid key of a Kubernetes label or annotation."""

LABEL = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
"""A valid value of a Kubernetes label."""

NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
"""A valid name of a Kubernetes object, or an empty text."""

SECRET_KEY = {"$ref": "#/$defs/SecretKeySelector"}

REFERENCE = re.compile(r'"#/\$defs/(io\.k8s\.[^"]+)"')

PACKAGES = (
    "io.k8s.api.core.v1",
    "io.k8s.api.networking.v1",
    "io.k8s.api.apps.v1",
    *(f"io.k8s.apimachinery.pkg.{place}" for place in ("apis.meta.v1", "api.resource", "util.intstr")),
)
"""The packages in which a definition is looked up, in this order."""

Schema = dict[str, Any]


def schema_text() -> str:
    """Returns the text of values.schema.json."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> Schema:
    """Returns the schema of all values."""
    defs: Schema = {}
    whole: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_closed()}
    for value in chart_values():
        inner = whole
        for key in value.path[:-1]:
            inner = inner["properties"].setdefault(key, _closed())
        inner["properties"][value.path[-1]] = {"description": value.description, **_of_value(value, defs)}
    whole["properties"]["global"]["additionalProperties"] = True  # values of an umbrella chart for its other charts
    whole["properties"]["enabled"] = {
        "description": "Read by a chart that depends on this one.",
        "type": "boolean",
    }
    return {**whole, "$defs": dict(sorted(defs.items()))}


def _closed() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _texts(keys: str, value: Schema | None = None) -> Schema:
    """Returns the schema of a mapping from keys with this pattern to strings."""
    return {"patternProperties": {keys: {"type": "string", **(value or {})}}, "additionalProperties": False}


def _of_value(value: Value, defs: Schema) -> Schema:
    kinds: dict[type, str] = {bool: "boolean", int: "integer", str: "string", dict: "object", list: "array"}
    found: Schema = {"type": kinds[type(value.default)]}
    hint = value.hint
    if hint.startswith("{"):
        return {**found, **json.loads(hint)}
    if "k8s:" in hint:
        reference = _kubernetes(hint.partition("k8s:")[2], defs)
        return {**found, "items": reference} if hint.startswith("list ") else reference
    if not hint and isinstance(value.default, (dict, list)):
        raise ValueError(f"values.yaml has no @schema for {'.'.join(value.path)}")
    return {**found, **_named(hint, defs)} if hint else found


def _named(hint: str, defs: Schema) -> Schema:
    """Returns the schema that a name after `@schema` refers to."""
    plain: dict[str, Schema] = {
        "name": {"pattern": NAME},
        "labels": _texts(QUALIFIED, {"pattern": LABEL}),
        "annotations": _texts(QUALIFIED),
        "alertTexts": _texts("^[a-zA-Z_][a-zA-Z0-9_]*$"),
        "objects": {"items": {"type": "object"}},
        "named": {"items": {"type": "object", "required": ["name"]}},
        "duration": {"pattern": "^([0-9]+(ms|s|m|h|d))*$"},
        "url": {"pattern": "^(https?://[A-Za-z0-9._~:/@!$&()*+,;=%\\[\\]-]+)?$"},
    }
    if hint in plain:
        return plain[hint]
    if hint == "basicAuth":
        _kubernetes("SecretKeySelector", defs)
        return {**_closed(), "properties": {"username": SECRET_KEY, "password": SECRET_KEY}}
    if hint == "alerts":
        return {"uniqueItems": True, "items": {"enum": sorted(alerts())}}
    return thresholds() if hint == "thresholds" else settings(defs)


def alerts() -> list[str]:
    """Returns the names of all alerts."""
    return [rule.name for rules in groups(Thresholds()).values() for rule in rules if isinstance(rule, Alert)]


def thresholds() -> Schema:
    """Returns the schema of `prometheusRule.thresholds`."""
    return {
        **_closed(),
        "properties": {one.name: _threshold(one.type, dict(one.metadata)) for one in fields(Thresholds)},
    }


def _threshold(kind: object, metadata: dict[str, Any]) -> Schema:
    number = {
        "type": "number" if kind == "float" else "integer",
        "minimum": metadata["minimum"],
        "maximum": metadata["maximum"],
    }
    if str(kind).startswith("Mapping"):
        names = {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"}
        number = {"type": "object", "propertyNames": names, "additionalProperties": number}
    return {"description": metadata["description"], **number}


def settings(defs: Schema) -> Schema:
    """Returns the schema of the exporter's settings, except those that the chart sets."""
    found = Settings.model_json_schema()
    defs.update({name: _without_notes(inner) for name, inner in found.pop("$defs").items()})
    found["properties"] = {name: inner for name, inner in found["properties"].items() if name not in SET_BY_CHART}
    for properties in (found["properties"], defs["TargetSettings"]["properties"]):
        for name in ("job_kinds", "job_types"):
            properties[name] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    for name, inner in found["properties"].items():
        if name.endswith(tuple(UNITS_OF_SETTINGS)):
            found["properties"][name] = {"anyOf": [inner, {"type": "string", "pattern": f"^{DURATION.pattern}$"}]}
    return dict(_without_notes(found))


def _without_notes(part: Any) -> Any:  # noqa: ANN401 - JSON
    """Returns a part of a schema without titles, descriptions and the like; properties with such names are kept."""
    if isinstance(part, list):
        return [_without_notes(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "anyOf" in part and {"type": "null"} in part["anyOf"]:  # null removes a value in Helm
        part = part | dict(next(choice for choice in part["anyOf"] if choice != {"type": "null"}))
        del part["anyOf"]
    return {
        key: {name: _without_notes(schema) for name, schema in inner.items()}
        if key == "properties"
        else _without_notes(inner)
        for key, inner in part.items()
        if key not in NOTES and not key.startswith("x-")
    }


def _kubernetes(name: str, defs: Schema) -> Schema:
    """Adds the Kubernetes definition of a type, and the definitions it refers to, and returns the reference to it."""
    if name not in defs:
        known = _definitions()
        full = next(f"{package}.{name}" for package in PACKAGES if f"{package}.{name}" in known)
        text = json.dumps(_without_notes(known[full]))
        defs[name] = {}  # ends the recursion of a type that contains itself
        for inner in sorted(set(REFERENCE.findall(text))):
            text = text.replace(f'"#/$defs/{inner}"', json.dumps(_kubernetes(inner.rpartition(".")[2], defs)["$ref"]))
        defs[name] = json.loads(text)
    return {"$ref": f"#/$defs/{name}"}


@cache
def _definitions() -> Schema:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{NEWEST}-local-strict"
    found: Schema = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    return found
