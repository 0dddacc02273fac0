"""The rules of the chart, with a placeholder such as `<<failure_ratio:percent>>` for everything that values can change.

The same code generates them as for the command `rules`, but from thresholds that are unique numbers. Each number in
the generated text is then replaced by the placeholder of its threshold. For example, the number of `stuck_for_seconds`
is 69003053461, so a rule with `for: 69003053461s` becomes `for: <<stuck_for_seconds:duration>>`.
"""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import combinations_with_replacement
from random import Random
from typing import TYPE_CHECKING

import yaml

from exporter.rules import Thresholds, groups
from exporter.rules.options import UNSELECTABLE
from exporter.rules.rule import Links

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "# Generated from exporter/rules by `make docs`; do not edit.\n"
LINKS = Links("<<runbooks>>", "<<dashboards>>", "<<exporter>>")
PRODUCTS = (("burn_fast_factor", "failure_objective"), ("burn_slow_factor", "failure_objective"))
"""Pairs of thresholds that the rules multiply."""

DEFAULTS = {one.name: getattr(Thresholds(), one.name) for one in fields(Thresholds)}
BY_TYPE = {name: f"@{name}" for name, value in DEFAULTS.items() if isinstance(value, dict)}
"""The thresholds per job type, each with a placeholder for the job type."""

MINIMUM = {"ratio": 0.01, "factor": 1.0, "whole": 1e9}
"""Minimum of the unique numbers, by kind of threshold."""


def unique_numbers() -> dict[str, float]:
    """Returns a unique number for each threshold, the same in every run; sums of two numbers are unique, too."""
    random = Random(0)  # noqa: S311 - no secret
    found: dict[str, float] = {}
    for name, value in DEFAULTS.items():
        if isinstance(value, float):
            minimum = MINIMUM["factor" if name.endswith("factor") else "ratio"]
            found[name] = round(minimum * (1 + random.random() * 8), 5)
        else:
            minutes = random.randrange(int(MINIMUM["whole"])) + int(MINIMUM["whole"])
            found[name] = minutes * 60 + 1  # a second more than whole minutes: a duration is then written in seconds
    return found


def forms() -> dict[str, str]:
    """Returns the placeholder of every text in which a threshold, or the sum or product of two, can occur in a rule."""
    numbers = unique_numbers()
    whole = {name: number for name, number in numbers.items() if isinstance(number, int)}
    found: list[tuple[str, str]] = []
    for name, number in whole.items():
        inner = "seconds" if name in BY_TYPE else name
        found += [(str(number), f"<<{inner}>>"), (f"{number}s", f"<<{inner}:duration>>")]
    for one, other in combinations_with_replacement(whole.keys() - BY_TYPE.keys(), 2):
        total = whole[one] + whole[other]
        mark = "+".join(sorted((one, other)))
        found += [(str(total), f"<<{mark}>>"), (f"{total}s", f"<<{mark}:duration>>")]
    for name in numbers.keys() - whole.keys():
        found += [(str(numbers[name]), f"<<{name}:float>>"), (f"{numbers[name] * 100:.4g}%", f"<<{name}:percent>>")]
    for one, other in PRODUCTS:
        product, mark = numbers[one] * numbers[other], f"{one}*{other}"
        found += [(f"{product:.6g}", f"<<{mark}:product>>"), (f"{product * 100:.4g}%", f"<<{mark}:percent>>")]
    if len(dict(found)) < len(found):
        raise ValueError("two thresholds have the same text: change the seed of the unique numbers")
    return dict(found)


FORMS = forms()
NUMBER = re.compile(r"(?<![\w.])\d[\d.]*[%a-z]?")


def with_placeholders(text: str) -> str:
    """Returns a text of a rule with placeholders instead of the unique numbers and job types."""
    for name, any_type in BY_TYPE.items():
        start = f"<<each {name}>>"
        if f'job_type="{any_type}"' in text:  # the first expression is repeated per job type
            first, _, others = text.partition("\nor\n")
            text = f"{start}{first.replace(any_type, '<<type>>')}\nor\n<<end>>{others}"
        text = re.sub(rf"{any_type} ([^,]+, )", rf"{start}<<type>> \1<<end>>", text)
        text = text.replace(any_type, f"<<{name}:types>>")
    text = NUMBER.sub(lambda found: FORMS.get(found[0], found[0]), text)
    if unknown := re.search(r"\d{10,}", text):
        raise ValueError(
            f"{unknown[0]} in a rule is calculated from thresholds in a way that the chart does not support: {text}"
        )
    return text


def rule_texts() -> dict[str, str]:
    """Returns the text of each rule file of the chart by its name."""
    numbers = unique_numbers()
    by_type = {name: {any_type: int(numbers[name])} for name, any_type in BY_TYPE.items()}
    built = groups(Thresholds(**{**numbers, **by_type}), "<<selector>>")  # type: ignore[arg-type] # ints stay ints
    return {
        f"{name}.rules.yaml": _text(
            {"groups": [{"name": name, "rules": [_entry(rule.entry(LINKS)) for rule in rules]}]}
        )
        for name, rules in built.items()
    }


def thresholds_text() -> str:
    """Returns the file with the default thresholds, the job types, and the labels that a selector cannot use."""
    defaults = {name: dict(value) if name in BY_TYPE else value for name, value in DEFAULTS.items()}
    (job_types,) = {tuple(defaults[name]) for name in BY_TYPE}
    return _text({"job_types": list(job_types), "unselectable": sorted(UNSELECTABLE), "defaults": defaults})


def _entry(rule: Mapping[str, str | dict[str, str]]) -> dict[str, object]:
    return {
        key: {inner: with_placeholders(text) for inner, text in value.items()}
        if isinstance(value, dict)
        else with_placeholders(value)
        for key, value in rule.items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes text with placeholders as a block, which needs no quotes whatever replaces them."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "<<" in text or "\n" in text else None)


_Dumper.add_representer(str, _block)


def _text(content: object) -> str:
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
