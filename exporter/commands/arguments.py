"""Command lines: flags only as they are written out, a guess at what a wrong one was meant to be, and number types."""

from __future__ import annotations

import argparse
import math
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FLAG = re.compile(r"(--?[A-Za-z][\w-]*)(=.*)?", re.DOTALL)
HARMLESS = re.compile(r"-{0,2}[A-Za-z][A-Za-z_-]{0,31}|[+-]?[0-9.]{1,20}")
"""What is repeated of a command line: a word or a number, but nothing that could well be a password or a key."""
WRONG_USE = 2


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and which knows what a misspelt flag or command may have meant."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**options, allow_abbrev=False)
        self._commands: Mapping[str, Parser] = {}

    def add_commands(self) -> argparse._SubParsersAction[Parser]:
        """Returns what takes the commands, each with a parser of this kind."""
        action = self.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
        self._commands = action.choices
        return action

    def arguments(self, given: Sequence[str]) -> argparse.Namespace:
        """Returns what a command line says; exits with 2 where it is wrong."""
        self.refuse_unknown(given)
        found, left = self.parse_known_args(given)
        if left:
            self.error(f"unrecognized arguments: {' '.join(map(shown, left))}")
        return found

    def refuse_unknown(self, given: Sequence[str]) -> None:
        """Exits for the first flag or command that is none: argparse would take what follows a flag for the command."""
        left = list(given)
        while left and left[0] != "--":
            word = left.pop(0)
            found = FLAG.fullmatch(word)
            if found is None and self._commands:
                self._command(word).refuse_unknown(left)
                return
            if found is None:
                continue
            if found[1] not in self._option_string_actions:
                self.error(f"{shown(found[1])}: no such flag{self._meant(found[1])}")
            has_value = self._option_string_actions[found[1]].nargs != 0
            if found[2] and not has_value:
                self.error(f"{found[1]}: takes no value")
            if has_value and found[2] is None and left and not FLAG.fullmatch(left[0]):
                left.pop(0)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and where to read more, without the whole usage."""
        self.exit(WRONG_USE, f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help\n")

    def _command(self, name: str) -> Parser:
        if name not in self._commands:
            self.error(f"{shown(name)}: no such command{_guess(name, self._commands)}")
        return self._commands[name]

    def _meant(self, flag: str) -> str:
        owners = [name for name, command in self._commands.items() if flag in command._option_string_actions]  # noqa: SLF001 - of this class
        if owners:
            return f"; it belongs to the command {owners[0]}, so write it after that"
        return _guess(flag, self._option_string_actions)


def shown(word: str) -> str:
    """Returns a word of the command line if it is harmless, and dots for it if it is not."""
    return word if HARMLESS.fullmatch(word) else "..."


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Returns the type of an argument that is a whole number within bounds."""

    def read(text: str) -> int:
        is_number = re.fullmatch("[+-]?[0-9]{1,18}", text)
        if not is_number or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{shown(text)}' is not a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """Returns the type of an argument that is a number within bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"'{shown(text)}' is not a number from {least:g} to {most:g}")
        return value

    return read


def _guess(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
