"""The environment variables that settings may come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exporter.config.problems import Problem, Source, path_of
from exporter.config.settings import Settings
from exporter.config.validators import parsed_json
from exporter.spelling import closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config.validators import Place

ENV_PREFIX = Settings.model_config.get("env_prefix", "")
NESTED_DELIMITER = Settings.model_config.get("env_nested_delimiter") or ""
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""The variable that names the settings file."""

NESTED_SETTINGS = ("credentials", "targets")
"""The settings that are JSON, or that take `__` for what is inside them."""

SERVICE_LINK = re.compile(r"_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|_SERVICE_(HOST|PORT(_\w+)?)")
"""How the names end that Kubernetes gives to the variables of a Service."""


def environment_source(environ: Mapping[str, str]) -> tuple[Source, list[Problem]]:
    """Returns the settings in these variables, read as pydantic-settings does, and what could not be read.

    An empty variable counts as not set. Pydantic's own source reads the process's environment only, stops at
    the first bad JSON, and makes no list of `TARGETS__0__...`.
    """
    values: dict[str, object] = {}
    names: dict[Place, str] = {}
    problems: list[Problem] = []
    for name, place in _known_variables({name: value for name, value in environ.items() if value}):
        names[place] = name
        try:
            values[str(place[0])] = _put(values.get(str(place[0]), {}), place[1:], _parsed(place, environ[name]))
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    values = {name: _listed(value) if name == "targets" else value for name, value in values.items()}
    return Source(values, lambda place: _written(place, names)), problems


def environment_name(setting: str) -> str:
    """Returns the environment variable of a setting."""
    return f"{ENV_PREFIX}{setting.upper()}"


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Names the variables with our prefix that no setting knows, each with a guess at the cause."""
    known = {CONFIG_VARIABLE, *(name for name, _ in _known_variables(environ))}
    strangers = sorted(name for name in environ if name.upper().startswith(ENV_PREFIX) and name not in known)
    return [f"{name}: {_cause(name)}" for name in strangers]


def _cause(name: str) -> str:
    if SERVICE_LINK.fullmatch(name[len(ENV_PREFIX) - 1 :]):
        return "set by Kubernetes for a Service, it seems; enableServiceLinks: false in the pod keeps it out"
    close = closest(name[len(ENV_PREFIX) :], ["config", *Settings.model_fields])
    return f"no setting has this name{f'; did you mean {environment_name(close)}?' if close else ''}"


def _known_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Place]]:
    """Gives the variables of settings with the place they fill, the outer ones first."""
    ours = (name for name in environ if name.upper().startswith(ENV_PREFIX))
    places = {name: tuple(name[len(ENV_PREFIX) :].lower().split(NESTED_DELIMITER)) for name in ours}
    for name, place in sorted(places.items(), key=lambda item: len(item[1])):
        if place[0] in Settings.model_fields and (len(place) == 1 or place[0] in NESTED_SETTINGS):
            yield name, tuple(int(key) if key.isdecimal() else key for key in place)


def _parsed(place: Place, text: str) -> object:
    return parsed_json(text) if place[-1] in NESTED_SETTINGS else text


def _put(around: object, place: Place, value: object) -> object:
    """Returns what is around a place, which another variable may have set, with the value set there."""
    if not place:
        return value
    inside = dict(enumerate(around)) if isinstance(around, list) else around
    if not isinstance(inside, dict):
        raise ValueError("has no place in what the variable around it holds")  # noqa: TRY004 - a user's value
    return {**inside, place[0]: _put(inside.get(place[0], {}), place[1:], value)}


def _listed(targets: object) -> object:
    """Returns a mapping by 0, 1, 2, ... as the list that it stands for, and anything else as it is."""
    if isinstance(targets, dict) and sorted(targets, key=str) == sorted(range(len(targets)), key=str):
        return [targets[index] for index in range(len(targets))]
    return targets


def _written(place: Place, names: Mapping[Place, str]) -> str:
    """Names a place by the variable that holds it, and the path inside that, where it is JSON."""
    for length in range(len(place), 0, -1):
        if place[:length] in names:
            inside = path_of(place[length:])
            return f"{names[place[:length]]}{f': {inside}' if inside else ''}"
    return ENV_PREFIX + NESTED_DELIMITER.join(str(key).upper() for key in place)
