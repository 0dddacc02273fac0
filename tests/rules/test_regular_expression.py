"""A regular expression is accepted exactly if the real Prometheus accepts it."""

from __future__ import annotations

import json
import random
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.rules.regular_expression import PatternError, check_pattern
from tests.support.real_tools import NEWEST, OLDEST, need

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = [
    "", "a", "prod.*|media", "a|", "|", "(a|b)+?", "a{2}", "a{2,}", "a{2,5}?", "a{", "a{,5}", "a{01}", "{", "}",
    "a{1000}", "(?:a{10}){100}", "[abc]", "[^abc]", "[]a]", "[^]a]", "[a-]", "[-a]", "[a-z0-9]", "[[:alpha:]]",
    "[[:^digit:]_]", "[[]", "[a[:b]", r"\d\D\s\S\w\W", r"[\d\-x]", r"\pL\p{Lu}\P{Greek}\p{^Han}", r"[\pN]",
    r"\Qa.b\E+", r"\Q\E", r"\A\b\B\z", r"\x41\x{10FFFF}", r"\07\12\0", r"\.\-\_\ \"", r"\a\f\n\r\t\v", "^$", "^*",
    "(?i)a", "(?i-s:a)", "(?U)a+", "a(?i)b", "a(?i)*", "(?)", "(?:)", "(?P<n>a)(?P<n>b)", "()", "()*", "(^|b)?",
    "é+", r"[\x00-\x{ff}]", "a-z", "a{1}{", "(?s).",
]  # fmt: skip
REFUSED = [
    "(", ")", "a)(b", "(a", "[", "[a", "[]", "[^]", "*", "+a", "?", "a|*", "(*)", "(|+)", "a**", "a+*", "a{2}{3}",
    "a*{2}", "a{2}*", "a{1001}", "a{2,1}", "a{2,1001}", "(?:a{11}){100}", "(?:(?:a{10}){10}){11}", "[b-a]",
    "[[:foo:]]", "[a-\\d]", r"\1", r"\8", r"\C", r"\E", r"\Z", r"\G", r"\K", r"\h", r"\R", r"\X", r"\y", r"\u0041",
    r"\cA", r"\é", "\\", r"\x4", r"\x{110000}", r"\x{}", r"\p", r"\p{Foo}", r"\pX", r"\p{", "(?=a)", "(?!a)",
    "(?<=a)", "(?<!a)", "(?>a)", "(?#a)", "(?a)", "(?x)a", "(?i", "(?i-)a", "(?-)", "(?--i)", "(?P=n)", "(?P<>a)",
    "(?P<a-b>c)", "(?P>n)", "(?(1)a)", "a++", "a*+", "a?+", "(?i)*", r"\b{2}{2}", "(?|a)", "(?'n'a)", "(?",
]  # fmt: skip
PIECES = [
    "a", "b", "|", "(", ")", "(?:", "(?i)", "(?P<n>", "[", "]", "^", "-", "*", "+", "?", "{2}", "{1,3}", "{900}",
    "{", "}", ".", "\\d", "\\", "\\Q", "\\E", "\\x41", "\\pL", "[:alpha:]", "$", "\\1", "(?", ",", "0", "é",
]  # fmt: skip


def is_accepted(text: str) -> bool:
    """Returns whether the exporter accepts an expression."""
    try:
        check_pattern(text)
    except PatternError:
        return False
    return True


def accepted_by_promtool(texts: list[str], folder: Path, suites: tuple[str, ...]) -> list[bool]:
    """Returns whether Prometheus accepts each expression as that of a label matcher."""
    rules = [{"record": f"x:{number}", "expr": f"up{{a=~{json.dumps(text)}}}"} for number, text in enumerate(texts)]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    command = [str(need("promtool", suites)), "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our choice
    refused = {int(found) for found in re.findall(r"rule (\d+), \"x:", done.stderr + done.stdout)}
    assert (done.returncode != 0) == bool(refused), done.stderr[-2000:]
    return [number + 1 not in refused for number in range(len(texts))]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str) -> None:
    """What RE2 accepts is accepted."""
    check_pattern(text)


@pytest.mark.parametrize("text", [*REFUSED, "(?<n>a)", "a" * 1001])
def test_refused(text: str) -> None:
    """What RE2 refuses is refused, and so are forms that older versions refuse."""
    with pytest.raises(PatternError):
        check_pattern(text)


@pytest.mark.tools
def test_prometheus_agrees(tmp_path: Path) -> None:
    """An expression is accepted exactly if both the newest and the oldest Prometheus accept it."""
    chance = random.Random(7)
    mixed = ["".join(chance.choices(PIECES, k=chance.randint(1, 8))) for _ in range(3000)]
    texts = [*ACCEPTED, *REFUSED, *mixed]

    by_newest, by_oldest = (accepted_by_promtool(texts, tmp_path, suites) for suites in (NEWEST, OLDEST))

    by_both = [text for text, *found in zip(texts, by_newest, by_oldest, strict=True) if all(found)]
    assert by_both == [text for text in texts if is_accepted(text)]
    assert len(by_both) > 500
