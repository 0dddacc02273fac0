"""Fuzzes every target for some minutes: `python -m tests.fuzz [--minutes M] [--seed N] [TARGET ...]`."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import traceback

import structlog

from tests.fuzz.runner import FuzzResult, batch, fuzz, keep, replay
from tests.fuzz.targets import TARGETS

MINUTES = 2.0
LONGEST = 4000
"""Maximum number of characters of a traceback that are printed, from its end."""


def run(name: str, minutes: float, seed: int | None) -> FuzzResult:
    """Checks the corpus of a target, then new inputs: those of one seed, or for some minutes."""
    target = TARGETS[name]
    with target.ready() as check:
        kept = replay(target, check)
        if kept.finding:
            return kept
        if seed is not None:
            return batch(target, check, seed)
        return fuzz(target, check, secrets.randbits(32), minutes * 60)


def told(name: str, bag: FuzzResult) -> str:
    """Returns the text of a target's result; a new finding is added to the corpus."""
    count = f"{name:<12}{bag.inputs:>9,} inputs"
    if bag.finding is None:
        return f"{count}, no finding\n"
    found = bag.finding
    text = "".join(traceback.format_exception(found.error))[-LONGEST:]
    if found.seed is None:
        return f"{text}\n{count}, FINDING: {name}/{found.given} of the corpus\n"
    again = f"again by `python -m tests.fuzz --seed {found.seed} {name}`"
    if isinstance(found.given, bytes):
        again += f"; kept as {keep(TARGETS[name], found.given, f'seed-{found.seed}')}"
    return f"{text}\n{found.given!r:.4000}\n{count}, FINDING: {again}\n"


def main() -> None:
    """Fuzzes and prints the results; exits with 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for each target")
    parser.add_argument("--seed", type=int, help="make the inputs of this seed only")
    given = parser.parse_args()
    if strangers := set(given.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(strangers))}; there is {', '.join(TARGETS)}")
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    findings = 0
    for name in given.targets or TARGETS:
        bag = run(name, given.minutes, given.seed)
        findings += bag.finding is not None
        sys.stdout.write(told(name, bag))
        sys.stdout.flush()
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
