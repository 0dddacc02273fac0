"""The rules for settings that go beyond a type and its bounds; no message repeats a value."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from exporter.config.address import endpoint_url, is_loopback, listen_pair
from exporter.jobs.kinds import KINDS
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationInfo

    from exporter.config.problems import Place

ALL_KINDS = "all"
"""Means every job kind in `job_kinds`."""

DURATION_PART = re.compile("([0-9]{1,9}(?:[.][0-9]{1,9})?)(ms|s|m|h|d|w)")
DURATION = re.compile(f"({DURATION_PART.pattern})+")
SECONDS_OF_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
UNITS_OF_SETTINGS = {"_seconds": 1.0, "_hours": 3600.0}
"""The unit of a setting, in seconds, by the end of its name."""

SINGLE_TARGET = ("region_id", "account", "endpoint", "credentials")
"""The settings that describe a single target, and that a list of targets excludes."""


def account_name(text: str) -> str:
    """Returns the name of an account if it is valid in a label and in a file name; raises ValueError."""
    if not 1 <= len(text) <= 64:  # noqa: PLR2004 - stated in the message
        raise ValueError("must have 1 to 64 characters")
    if not text.isprintable() or text != text.strip() or any(sign in text for sign in "\"'`/\\"):
        raise ValueError("must be printable, without quotes, slashes, and blanks at the ends")
    return text


def variable_name(text: str) -> str:
    """Returns the name of an environment variable, or an empty text; raises ValueError for anything else."""
    if re.fullmatch("([A-Z_][A-Z0-9_]*)?", text) is None:
        raise ValueError("must be the name of an environment variable, in capitals, not the value of the variable")
    return text


def duration(value: object, setting: str) -> object:
    """Returns a duration such as `30s` or `1h30m` in the unit in which the name of the setting ends.

    Any other value, and any value of a setting that is no duration, is returned as it is.
    """
    unit = next((seconds for ending, seconds in UNITS_OF_SETTINGS.items() if setting.endswith(ending)), None)
    if unit is None or not isinstance(value, str) or not DURATION.fullmatch(value.strip()):
        return value
    seconds = sum(float(number) * SECONDS_OF_UNIT[name] for number, name in DURATION_PART.findall(value))
    return seconds / unit


def lower_case(value: object) -> object:
    """Returns a text in lower case, and any other value as it is."""
    return value.lower() if isinstance(value, str) else value


def word_list(value: object) -> object:
    """Returns the list in a text, which is JSON or words with commas, and any other value as it is."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is not valid JSON") from None
    return parsed


def not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names if there are any; raises ValueError."""
    if not names:
        raise ValueError("must not be empty")
    return names


def known_job_kind(name: str) -> str:
    """Returns the name of a job kind, or `all`; raises ValueError."""
    kinds = (*KINDS, ALL_KINDS)
    if name not in kinds:
        raise ValueError(f"must be one of {', '.join(kinds)}{did_you_mean(name, kinds)}")
    return name


def listenable_address(address: str) -> str:
    """Returns an address that a server can listen on; raises ValueError."""
    listen_pair(address)
    return address


def longer_than_interval(seconds: float, info: ValidationInfo) -> float:
    """Returns the seconds if they are more than a valid poll interval; raises ValueError."""
    if seconds <= info.data.get("poll_interval_seconds", 0):
        raise ValueError("must be more than poll_interval_seconds, or good data would be withdrawn")
    return seconds


def less_than_shards(shard: int | None, info: ValidationInfo) -> int | None:
    """Returns the number of a shard if there are that many shards; raises ValueError."""
    shards = info.data.get("shards")
    if shard is not None and shards is not None and shard >= shards:
        raise ValueError(f"must be less than shards: there are {shards}, and this is {shard}, from 0")
    return shard


def credential_problems(given: Mapping[str, str], named: set[str]) -> list[str]:
    """Returns what is inconsistent in the credentials of a target; `named` are the keys that are set."""
    pair = [bool(given["access_key_id_env"]), bool(given["access_key_secret_env"])]
    role_details = [name for name in ("role_session_name", "external_id", "sts_endpoint") if given[name]]
    rules = (
        (any(pair) and not all(pair), "access_key_id_env and access_key_secret_env need each other"),
        (given["security_token_env"] and not any(pair), "security_token_env needs access_key_id_env"),
        (any(pair) and given["file"], "file and access_key_id_env exclude each other"),
        ("profile" in named and not given["file"], "profile needs file"),
        (role_details and not given["role_arn"], f"{' and '.join(role_details)} needs role_arn"),
    )
    return [text for broken, text in rules if broken]


def target_problems(values: Mapping[str, object]) -> Iterator[tuple[Place, str]]:
    """Returns the problems of the targets as a whole; each value may have further problems of its own."""
    if values.get("targets"):
        single = [name for name in SINGLE_TARGET if isinstance(values.get(name), str | dict)]
        yield from (((name,), "cannot be set together with targets; set it in each target") for name in single)
    yield from _repeated(values.get("targets"))
    if not _is_on(values.get("allow_plain_http", False)):
        yield from _plain_http(values)


def _repeated(targets: object) -> Iterator[tuple[Place, str]]:
    seen: dict[tuple[object, object], int] = {}
    for index, target in _mappings(targets):
        key = (target.get("account", "default"), target.get("region_id"))
        if not all(isinstance(part, str) for part in key):
            continue
        first = seen.setdefault(key, index)
        if first != index:
            yield (
                ("targets", index),
                f"has the same account and region_id as targets[{first}]; give it another account",
            )


def _plain_http(values: Mapping[str, object]) -> Iterator[tuple[Place, str]]:
    places: list[tuple[Place, object]] = [(("endpoint",), values.get("endpoint"))]
    for index, target in _mappings(values.get("targets")):
        places.append((("targets", index, "endpoint"), target.get("endpoint")))
    for place, endpoint in places:
        if isinstance(endpoint, str) and _is_plain_http_elsewhere(endpoint):
            yield place, "must not send over http to another machine; use https, or turn allow_plain_http on"


def _is_plain_http_elsewhere(endpoint: str) -> bool:
    try:
        url = endpoint_url(endpoint)
    except ValueError:
        return False
    return url.startswith("http://") and not is_loopback(url)


def _is_on(value: object) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        return True  # reported as an invalid value


def _mappings(targets: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    if isinstance(targets, list):
        yield from ((index, each) for index, each in enumerate(targets) if isinstance(each, dict))
