"""Loads the settings from flags, environment, file and defaults, or reports every problem in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporter.config.problems import Problem, explain, refusal
from exporter.config.settings import CredentialSettings, Settings, TargetSettings
from exporter.config.sources import (
    CONFIG,
    CONFIG_VARIABLE,
    EnvironmentSource,
    FileSource,
    FlagSource,
    environment_name,
    flag_name,
)
from exporter.jobs.kinds import KINDS
from exporter.jobs.shards import ordinal
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

MAX_TARGETS = 2000
"""Maximum number of targets that one process polls."""

SHARE_OF_FULL_SHARD = 0.9
"""Mean share of `MAX_TARGETS` that shards should have: the hash does not divide the targets exactly."""

MODELS: Mapping[str, type[BaseModel]] = {
    "": Settings,
    "targets": TargetSettings,
    "credentials": CredentialSettings,
}


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Returns the settings: flags win over environment variables, these over the file, the file over the defaults.

    `flags` has the given flags by the name of the setting, and `config` for the file. Raises SettingsError with every
    problem of every source, one per line and without the values.
    """
    file = FileSource(str(flags.get(CONFIG) or environ.get(CONFIG_VARIABLE, "")))
    sources = (FlagSource(flags), EnvironmentSource(environ), file)
    given: dict[str, Any] = {"sources": sources}
    problems = [*file.problems]
    settings = None
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += explain(error, sources, MODELS)
    if not problems and not any(source.values.get(name) for source in sources for name in ("region_id", "targets")):
        ways = f"{flag_name('region_id')}, {environment_name('region_id')}, or region_id or targets in the file"
        problems.append(Problem("targets", f"no target is given; set {ways}"))
    shard = _shard(settings, environ) if settings else None
    if isinstance(shard, Problem):
        problems.append(shard)
    elif settings is not None and not problems:
        problems += _too_many_targets(settings.model_copy(update={"shard": shard}))
    if problems or settings is None:
        raise refusal("the configuration", problems)
    return settings.model_copy(update={"shard": shard})


def undocumented_job_types(settings: Settings) -> Iterator[str]:
    """Returns a warning for each job type to poll that no polled job kind documents: it may be misspelt."""
    given = [("job_types", settings.job_types)]
    given += [(f"targets[{index}].job_types", each.job_types or ()) for index, each in enumerate(settings.targets)]
    known = [name for kind in KINDS.values() for name in kind.job_types]
    for place, names in given:
        for name in names:
            if name not in known:
                yield f"{place}: {name} is not documented; known types: {', '.join(known)}{did_you_mean(name, known)}"


def _too_many_targets(settings: Settings) -> Iterator[Problem]:
    """Returns a problem if this process would poll more targets than one process can."""
    polled = len({(target.key.account, target.key.region_id) for target in settings.polled_targets})
    if polled > MAX_TARGETS:
        needed = math.ceil(len(settings.targets) / (MAX_TARGETS * SHARE_OF_FULL_SHARD))
        text = f"this process polls {polled} targets, {MAX_TARGETS} at most: set shards to {needed} or more"
        yield Problem("targets", text)


def _shard(settings: Settings, environ: Mapping[str, str]) -> int | Problem:
    """Returns the number of this shard, which may be that in the name of the host."""
    if settings.shard is not None or settings.shards == 1:
        return settings.shard or 0
    shard = ordinal(environ.get("HOSTNAME", ""))
    if shard is None:
        return Problem("shard", "must be given, as HOSTNAME ends in no number")
    if shard >= settings.shards:
        return Problem("shard", f"must be less than shards: there are {settings.shards}, and this is {shard}, from 0")
    return shard
