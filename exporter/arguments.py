"""Parser of command lines: no abbreviated flags, one-line errors with a suggestion, and types of numbers."""

from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FLAG = re.compile(r"(--?[A-Za-z][\w-]*)(=.*)?", re.DOTALL)
HARMLESS = re.compile(r"-{0,2}[A-Za-z][A-Za-z_-]{0,31}|[+-]?[0-9.]{1,20}")
"""The arguments that an error may repeat: words and numbers, but nothing that looks like a password or a key."""
WRONG_USE = 2


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with a suggestion for a misspelt flag or command."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**options, allow_abbrev=False)
        self._commands: Mapping[str, Parser] = {}

    def add_commands(self) -> argparse._SubParsersAction[Parser]:
        """Returns the action that commands are added to; each command gets a parser of this class."""
        action = self.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
        self._commands = action.choices
        return action

    def arguments(self, given: Sequence[str]) -> argparse.Namespace:
        """Returns the parsed command line; exits with 2 if it is wrong."""
        self.refuse_unknown(given)
        found, left = self.parse_known_args(given)
        if left:
            self.error(f"unrecognized arguments: {' '.join(map(shown, left))}")
        return found

    def refuse_unknown(self, given: Sequence[str]) -> None:
        """Exits at the first unknown flag or command.

        argparse reports a wrong problem for an unknown flag before the command: it takes the value of the flag for
        the command, as `cn-shanghai` in `--regoin-id cn-shanghai plan`.
        """
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
                self.error(f"{shown(found[1])}: no such flag{self._suggestion(found[1])}")
            has_value = self._option_string_actions[found[1]].nargs != 0
            if found[2] and not has_value:
                self.error(f"{found[1]}: takes no value")
            if has_value and found[2] is None and left and not FLAG.fullmatch(left[0]):
                left.pop(0)

    def error(self, message: str) -> NoReturn:
        """Prints the error and the command for help in one line, without the usage, and exits with 2."""
        self.exit(WRONG_USE, f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help\n")

    def _command(self, name: str) -> Parser:
        if name not in self._commands:
            self.error(f"{shown(name)}: no such command{did_you_mean(name, self._commands)}")
        return self._commands[name]

    def _suggestion(self, flag: str) -> str:
        owners = [name for name, command in self._commands.items() if flag in command._option_string_actions]  # noqa: SLF001 - of this class
        if owners:
            return f"; it belongs to the command {owners[0]}, so write it after that"
        return did_you_mean(flag, self._option_string_actions)


def shown(word: str) -> str:
    """Returns an argument if it is harmless, and `...` otherwise."""
    return word if HARMLESS.fullmatch(word) else "..."


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Returns the argument type of whole numbers within bounds."""

    def read(text: str) -> int:
        is_number = re.fullmatch("[+-]?[0-9]{1,18}", text)
        if not is_number or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"'{shown(text)}' is not a whole number from {minimum} to {maximum}")
        return int(text)

    return read


def number(minimum: float, maximum: float) -> Callable[[str], float]:
    """Returns the argument type of numbers within bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"'{shown(text)}' is not a number from {minimum:g} to {maximum:g}")
        return value

    return read
