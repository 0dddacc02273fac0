"""The command-line flags that settings may come from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from exporter.config.environment import CONFIG_VARIABLE, NESTED_SETTINGS
from exporter.config.problems import Source
from exporter.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "config"
FLAG_SETTINGS = tuple(name for name in Settings.model_fields if name not in NESTED_SETTINGS)
"""The settings that have a flag: all that fit on a command line."""

METAVARS = {"boolean": "on|off", "number": "NUMBER", "integer": "NUMBER"}


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting, and --config; a parser and its subparsers may all have them."""
    # Own flags, not pydantic's CliSettingsSource, which owns the parser and its errors: here a flag is
    # but a text under the setting's name, and its problems are told together with those of all other sources.
    # With SUPPRESS a flag given before the command is not reset by the command's own parser.
    group = parser.add_argument_group("settings", "Each is also an environment variable and a key of the file.")
    group.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"YAML file of settings ({CONFIG_VARIABLE})",
    )
    properties = Settings.model_json_schema()["properties"]
    for name in FLAG_SETTINGS:
        schema = properties[name]
        group.add_argument(
            flag_name(name),
            dest=name,
            default=argparse.SUPPRESS,
            metavar="|".join(schema.get("enum", ())) or METAVARS.get(schema.get("type", ""), name.upper()),
            help=schema["description"].replace("`", "").replace("%", "%%"),
        )


def flag_name(setting: str) -> str:
    """Returns the flag of a setting."""
    return f"--{setting.replace('_', '-')}"


def flags_of(namespace: argparse.Namespace) -> dict[str, object]:
    """Returns the flags that were given, by the name of the setting."""
    given = vars(namespace)
    return {name: given[name] for name in (CONFIG, *FLAG_SETTINGS) if name in given}


def flags_source(flags: Mapping[str, object]) -> Source:
    """Returns the settings among the flags."""
    return Source(
        {name: flags[name] for name in FLAG_SETTINGS if name in flags}, lambda place: flag_name(str(place[0]))
    )
