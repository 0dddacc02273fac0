"""The rules as the chart has them: what values may change is a mark, such as `<<failure_ratio:percent>>`.

They are built by the same code as those of the command `rules`, from thresholds whose numbers occur nowhere else;
wherever one of these is found in the text, its mark takes its place.
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
"""The thresholds that the rules multiply."""

DEFAULTS = {one.name: getattr(Thresholds(), one.name) for one in fields(Thresholds)}
BY_TYPE = {name: f"@{name}" for name, value in DEFAULTS.items() if isinstance(value, dict)}
"""The thresholds by job type, each with a name that stands for any type."""

PLACES = {"share": 0.01, "factor": 1.0, "whole": 1e9}
"""Where the numbers that stand for thresholds begin; the whole ones are a second more than whole minutes."""


def stand_ins() -> dict[str, float]:
    """Returns a number of its own for each threshold: always the same, and random enough for sums to differ, too."""
    random = Random(0)  # noqa: S311 - no secret
    found: dict[str, float] = {}
    for name, value in DEFAULTS.items():
        if isinstance(value, float):
            place = PLACES["factor" if name.endswith("factor") else "share"]
            found[name] = round(place * (1 + random.random() * 8), 5)
        else:
            found[name] = random.randrange(int(PLACES["whole"])) * 60 + int(PLACES["whole"]) * 60 + 1
    return found


def forms() -> dict[str, str]:
    """Returns the mark of every text in which a threshold, or the sum or product of two, may occur in a rule."""
    numbers = stand_ins()
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
        raise ValueError("two thresholds look alike: change the numbers that stand for them")
    return dict(found)


FORMS = forms()
NUMBER = re.compile(r"(?<![\w.])\d[\d.]*[%a-z]?")


def marked(text: str) -> str:
    """Returns a text of a rule with marks in place of the numbers and types that stand for thresholds."""
    for name, any_type in BY_TYPE.items():
        start = f"<<each {name}>>"
        if f'job_type="{any_type}"' in text:  # an expression for each type comes first, then one for all others
            first, _, others = text.partition("\nor\n")
            text = f"{start}{first.replace(any_type, '<<type>>')}\nor\n<<end>>{others}"
        text = re.sub(rf"{any_type} ([^,]+, )", rf"{start}<<type>> \1<<end>>", text)
        text = text.replace(any_type, f"<<{name}:types>>")
    text = NUMBER.sub(lambda found: FORMS.get(found[0], found[0]), text)
    if strange := re.search(r"\d{10,}", text):
        raise ValueError(f"{strange[0]} in a rule is made of thresholds in a way that the chart does not know: {text}")
    return text


def rule_texts() -> dict[str, str]:
    """Returns the text of each rule file of the chart by its name."""
    numbers = stand_ins()
    by_type = {name: {any_type: int(numbers[name])} for name, any_type in BY_TYPE.items()}
    built = groups(Thresholds(**{**numbers, **by_type}), "<<selector>>")  # type: ignore[arg-type] # ints stay ints
    return {
        f"{name}.rules.yaml": _text(
            {"groups": [{"name": name, "rules": [_entry(rule.entry(LINKS)) for rule in rules]}]}
        )
        for name, rules in built.items()
    }


def thresholds_text() -> str:
    """Returns the text of the file with the thresholds' defaults, the job types, and the labels not to select by."""
    defaults = {name: dict(value) if name in BY_TYPE else value for name, value in DEFAULTS.items()}
    (job_types,) = {tuple(defaults[name]) for name in BY_TYPE}
    return _text({"job_types": list(job_types), "unselectable": sorted(UNSELECTABLE), "defaults": defaults})


def _entry(rule: Mapping[str, str | dict[str, str]]) -> dict[str, object]:
    return {
        key: {inner: marked(text) for inner, text in value.items()} if isinstance(value, dict) else marked(value)
        for key, value in rule.items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes text with marks as a block, which needs no quotes whatever comes in their place."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "<<" in text or "\n" in text else None)


_Dumper.add_representer(str, _block)


def _text(content: object) -> str:
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
