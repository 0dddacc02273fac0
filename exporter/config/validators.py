"""The rules for settings that go beyond a type and its bounds; no message of theirs repeats a value."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from exporter.config.address import endpoint_url, is_loopback, listen_pair
from exporter.jobs.kinds import SMART

JOB_TYPES = SMART.job_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationInfo

SINGLE_TARGET = ("region_id", "account", "endpoint", "job_types", "credentials")
"""The settings that describe the one target, where there is no list of them."""

Place = tuple[str | int, ...]
"""Where in the settings something stands, as `("targets", 2, "region_id")`."""


def account_name(text: str) -> str:
    """Returns the account's name if it can stand in a label and a file name; raises ValueError."""
    if not 1 <= len(text) <= 64:  # noqa: PLR2004 - stated in the message
        raise ValueError("must have 1 to 64 characters")
    if not text.isprintable() or text != text.strip() or any(sign in text for sign in "\"'`/\\"):
        raise ValueError("must be printable, without quotes, slashes, and blanks at the ends")
    return text


def variable_name(text: str) -> str:
    """Returns the text if it is empty or the name of an environment variable; raises ValueError."""
    if re.fullmatch("([A-Z_][A-Z0-9_]*)?", text) is None:
        raise ValueError("must be the name of an environment variable, in capitals, not what it holds")
    return text


def lower_case(value: object) -> object:
    """Returns a text in lower case, and anything else as it is."""
    return value.lower() if isinstance(value, str) else value


def job_type_list(value: object) -> object:
    """Returns the list that a text with commas, or a JSON list, stands for, and anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return parsed_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def parsed_json(text: str) -> object:
    """Returns what a JSON text stands for; raises ValueError without repeating the text."""
    try:
        parsed: object = json.loads(text)
    except ValueError as error:
        position = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"is not valid JSON{position}") from None
    except RecursionError:
        raise ValueError("is not valid JSON: nested too deeply") from None
    return parsed


def known_job_type(name: str) -> str:
    """Returns the name if the service documents such a job type; raises ValueError."""
    if name not in JOB_TYPES:
        by_lower_case = {known.lower(): known for known in JOB_TYPES}
        close = get_close_matches(name.lower(), by_lower_case, n=1)
        meant = f"; did you mean {by_lower_case[close[0]]}?" if close else ""
        raise ValueError(f"must be one of {', '.join(JOB_TYPES)}{meant}")
    return name


def listenable(address: str) -> str:
    """Returns the address if it can be listened on; raises ValueError."""
    listen_pair(address)
    return address


def longer_than_interval(seconds: float, info: ValidationInfo) -> float:
    """Returns the seconds if more than the poll interval, where that is known; raises ValueError."""
    if seconds <= info.data.get("poll_interval_seconds", 0):
        raise ValueError("must be more than poll_interval_seconds, or good data would be withdrawn")
    return seconds


def credential_problems(given: Mapping[str, str], named: set[str]) -> list[str]:
    """Says what does not fit together in one target's credentials; `named` are the fields not left out."""
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
    """Finds what is wrong with the targets as a whole, whatever else may be wrong with each of them."""
    if values.get("targets"):
        single = [name for name in SINGLE_TARGET if values.get(name) is not None]
        yield from (((name,), "cannot stand beside targets; move it into each of them") for name in single)
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
        return True  # reported as what it is


def _mappings(targets: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    if isinstance(targets, list):
        yield from ((index, each) for index, each in enumerate(targets) if isinstance(each, dict))
