"""The settings put together from flags, environment, file and defaults, or all that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporter.config.environment import CONFIG_VARIABLE, environment_name, environment_source
from exporter.config.flags import CONFIG, flag_name, flags_source
from exporter.config.problems import Problem, Source, explain, name_in_sources, path_of
from exporter.config.settings import Settings
from exporter.config.target_settings import CredentialSettings, TargetSettings
from exporter.config.validators import target_problems
from exporter.config.yaml_file import read_settings_file
from exporter.errors import SettingsError
from exporter.jobs.shards import ordinal
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

MODELS: Mapping[str, type[BaseModel]] = {
    "": Settings,
    "targets": TargetSettings,
    "credentials": CredentialSettings,
}


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Returns the settings: flags before environment before file before defaults.

    `flags` are those given, by the setting's name, and `config` for the file. Raises SettingsError with every
    problem of every source at once, one a line; none repeats a value.
    """
    from_environment, problems = environment_source(environ)
    from_file, file_problems = file_source(str(flags.get(CONFIG) or environ.get(CONFIG_VARIABLE, "")))
    sources = (flags_source(flags), from_environment, from_file)
    values = _merged([source.values for source in reversed(sources)])
    problems += file_problems
    problems += [] if problems else _without_target(values)
    problems += [Problem(name_in_sources(place, sources), text) for place, text in target_problems(values)]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_message([*problems, *explain(error, sources, MODELS)])) from None
    shard = _shard(settings, environ)
    if isinstance(shard, Problem):
        problems.append(shard)
    if problems:
        raise SettingsError(_message(problems))
    return settings.model_copy(update={"shard": shard})


def file_source(path: str) -> tuple[Source, list[Problem]]:
    """Returns the settings in a file, none for no path, and what is wrong with the file as a whole."""
    try:
        found = read_settings_file(path) if path else {}
    except SettingsError as error:
        return Source({}, path_of), [Problem(path, str(error))]
    known = {key: value for key, value in found.items() if key in Settings.model_fields}
    unknown = [
        Problem(f"{path}: {key}", f"no such setting{did_you_mean(str(key), Settings.model_fields, or_list=True)}")
        for key in found
        if key not in known
    ]
    return Source(known, lambda place: f"{path}: {path_of(place)}"), unknown


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Puts each layer on top of the one before; mappings are merged, lists replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = merged.get(name)
            if isinstance(below, dict) and isinstance(value, dict):
                merged[name] = _merged([below, value])
            else:
                merged[name] = value
    return merged


def _without_target(values: Mapping[str, object]) -> list[Problem]:
    if values.get("region_id") is not None or values.get("targets"):
        return []
    ways = f"{flag_name('region_id')}, {environment_name('region_id')}, or region_id or targets in the file"
    return [Problem("targets", f"no target is given; set {ways}")]


def _shard(settings: Settings, environ: Mapping[str, str]) -> int | Problem:
    """Returns which shard this process is, by the settings or by its host's name."""
    if settings.shards == 1 and settings.shard is None:
        return 0
    shard = ordinal(environ.get("HOSTNAME", "")) if settings.shard is None else settings.shard
    if shard is None:
        return Problem("shard", "must be given, as HOSTNAME ends in no number")
    if shard >= settings.shards:
        return Problem("shard", f"must be less than shards: there are {settings.shards}, and this is {shard}, from 0")
    return shard


def _message(problems: Sequence[Problem]) -> str:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join((f"the configuration has {count}:", *(f"  {problem}" for problem in problems)))
