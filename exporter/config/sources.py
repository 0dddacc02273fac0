"""The sources of settings, by pydantic-settings: command-line flags, environment variables, and a YAML file."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import CliSettingsSource, EnvSettingsSource, YamlConfigSettingsSource

from exporter.config.problems import Problem, Unreadable, depth_of, path_of
from exporter.config.settings import Settings
from exporter.config.yaml_file import read_settings_file
from exporter.errors import SettingsError
from exporter.spelling import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config.problems import Place


def _has(annotation: Any, classes: tuple[type, ...]) -> bool:  # noqa: ANN401 - any annotation
    """Whether a type is one of the classes, or has one of them inside, as `list[TargetSettings] | None`."""
    parts = (get_origin(annotation) or annotation, *get_args(annotation))
    return any(isinstance(part, type) and issubclass(part, classes) for part in parts) or any(
        _has(part, classes) for part in get_args(annotation)
    )


ENV_PREFIX = Settings.model_config.get("env_prefix", "")
NESTED_DELIMITER = Settings.model_config.get("env_nested_delimiter") or ""
CONFIG = "config"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""The variable that names the settings file."""

LIST_SETTINGS = tuple(name for name, field in Settings.model_fields.items() if _has(field.annotation, (list, tuple)))
NESTED_SETTINGS = tuple(name for name, field in Settings.model_fields.items() if _has(field.annotation, (BaseModel,)))
"""The settings that have settings inside, and no flag."""

FLAG_SETTINGS = tuple(name for name in Settings.model_fields if name not in NESTED_SETTINGS)
METAVARS = {"boolean": "on|off", "number": "NUMBER", "integer": "NUMBER"}
NO_FLAG_VALUE = "\0"
"""The flag value that means None: one that no command line can hold, as every text is a value."""

SERVICE_LINK = re.compile(r"_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|_SERVICE_(HOST|PORT(_\w+)?)")
"""The endings of the variables that Kubernetes sets for a Service."""


class FlagSource(CliSettingsSource[Any]):
    """The settings given as flags; `parser` gets a flag for each setting that is a single value or a list of words."""

    def __init__(self, flags: Mapping[str, object], parser: argparse._ActionsContainer | None = None) -> None:
        properties = Settings.model_json_schema()["properties"]

        def add_flag(group: argparse._ActionsContainer, *names: str, dest: str, **options: Any) -> None:  # noqa: ANN401 - argparse's own
            if dest not in FLAG_SETTINGS:
                return
            schema = {**properties[dest].get("anyOf", [{}])[0], **properties[dest]}
            options["metavar"] = "|".join(schema.get("enum", ())) or METAVARS.get(schema.get("type", ""), dest.upper())
            options["help"] = schema["description"].replace("`", "").replace("%", "%%")
            group.add_argument(*names, dest=dest, **options)

        super().__init__(
            Settings,
            root_parser=parser or argparse.ArgumentParser(),
            add_argument_method=add_flag,
            add_argument_group_method=lambda parser, **_: parser,
            cli_kebab_case=True,
            cli_parse_none_str=NO_FLAG_VALUE,
        )
        self(parsed_args={name: flags[name] for name in FLAG_SETTINGS if name in flags})
        self.values: dict[str, object] = self()

    def name_of(self, place: Place) -> str:
        """Returns the flag that a place is in."""
        return flag_name(str(place[0]))


class EnvironmentSource(EnvSettingsSource):
    """The settings in a mapping of environment variables; an empty variable counts as not set.

    pydantic-settings reads one JSON text or nested variables per setting. This class adds lists by index, as in
    `TARGETS__0__REGION_ID`, and reports bad JSON together with all other problems.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Settings, case_sensitive=False)
        # Sorted, so that JSON in CREDENTIALS comes before CREDENTIALS__FILE, which is merged into it.
        self.env_vars = {name.lower(): environ[name] for name in sorted(environ, key=str.lower) if environ[name]}
        self._names = {name.lower(): name for name in environ if environ[name]}
        self.values: dict[str, object] = self()

    def __call__(self) -> dict[str, Any]:
        """Returns the settings that have a variable."""
        values = super().__call__()
        return {name: _as_list(value) if name in LIST_SETTINGS else value for name, value in values.items()}

    def next_field(self, field: Any, key: str, case_sensitive: bool | None = None) -> Any:  # noqa: ANN401, FBT001 - as in the base class
        """Returns the type of an item for an index of a list, and else what the base class returns."""
        annotation = field.annotation if isinstance(field, FieldInfo) else field
        if get_origin(annotation) is list and key.isdecimal():
            return get_args(annotation)[0]
        return super().next_field(field, key, case_sensitive)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 - as in the base class
        """Returns the value of a JSON text: a list as a mapping by index, so that nested variables merge into it."""
        try:
            decoded = super().decode_complex_value(field_name, field, value)
        except json.JSONDecodeError as error:
            return Unreadable(f"is not valid JSON at character {error.pos + 1}")
        except (ValueError, RecursionError):
            return Unreadable("is not valid JSON, or nested too deeply")
        return (
            {str(index): item for index, item in enumerate(decoded)}
            if field_name in LIST_SETTINGS and isinstance(decoded, list)
            else decoded
        )

    def uses(self, variable: str) -> bool:
        """Returns whether a variable is a setting, or a value inside one; an empty variable only has to be named so."""
        keys = variable[len(ENV_PREFIX) :].lower().split(NESTED_DELIMITER)
        if variable not in self._names.values():
            return keys[0] in Settings.model_fields
        place = tuple(int(key) if key.isdecimal() else key for key in keys)
        return depth_of(self.values, place) == len(place)

    def name_of(self, place: Place) -> str:
        """Returns the variable that a place is in, with the path inside the variable if that is JSON."""
        variables = [ENV_PREFIX + NESTED_DELIMITER.join(map(str, place[:length])) for length in range(len(place) + 1)]
        for length in range(len(place), 0, -1):
            if variables[length].lower() in self._names:
                inside = path_of(place[length:])
                return f"{self._names[variables[length].lower()]}{f': {inside}' if inside else ''}"
        return variables[-1].upper()


class FileSource(YamlConfigSettingsSource):
    """The settings in a YAML file, read by the bounded loader of this project; without a path there are none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        """The problem with the file as a whole, if there is one."""
        super().__init__(Settings, yaml_file=path)
        self.values: dict[str, object] = self()

    def _read_files(self, files: Any, deep_merge: bool = False) -> dict[str, Any]:  # noqa: ANN401, FBT001, FBT002 - as in the base class
        """Returns the mapping in the file. Unlike the base class, reports a missing file, and does not raise."""
        del files, deep_merge
        try:
            return {str(key): value for key, value in read_settings_file(self.path).items()} if self.path else {}
        except SettingsError as error:
            self.problems = [Problem(self.path, str(error))]
            return {}

    def name_of(self, place: Place) -> str:
        """Returns the file with the path of a place in it."""
        return f"{self.path}: {path_of(place)}"


def flag_name(setting: str) -> str:
    """Returns the flag of a setting."""
    return f"--{setting.replace('_', '-')}"


def environment_name(setting: str) -> str:
    """Returns the environment variable of a setting."""
    return f"{ENV_PREFIX}{setting.upper()}"


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting, and --config."""
    group = parser.add_argument_group("settings", "Each setting is also an environment variable and a key of the file.")
    help_text = f"YAML file of settings ({CONFIG_VARIABLE})"
    group.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=help_text)
    FlagSource({}, group)


def flags_of(namespace: argparse.Namespace) -> dict[str, object]:
    """Returns the given flags by the name of the setting, --config included."""
    given = vars(namespace)
    return {name: given[name] for name in (CONFIG, *FLAG_SETTINGS) if name in given}


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Returns the variables with the prefix of this exporter that are no setting, each with the likely cause."""
    source = EnvironmentSource(environ)
    own = sorted(name for name in environ if name.upper().startswith(ENV_PREFIX) and name != CONFIG_VARIABLE)
    return [f"{name}: {_likely_cause(name)}" for name in own if not source.uses(name)]


def _likely_cause(variable: str) -> str:
    if SERVICE_LINK.fullmatch(variable[len(ENV_PREFIX) - 1 :]):
        return "probably set by Kubernetes for a Service; enableServiceLinks: false in the pod prevents it"
    close = closest(variable[len(ENV_PREFIX) :], [CONFIG, *Settings.model_fields])
    return f"no setting has this name{f'; did you mean {environment_name(close)}?' if close else ''}"


def _as_list(value: object) -> object:
    """Returns a mapping with the keys "0", "1", "2", ... as a list, and any other value as it is."""
    if isinstance(value, dict) and value.keys() == {str(index) for index in range(len(value))}:
        return [value[str(index)] for index in range(len(value))]
    return value
