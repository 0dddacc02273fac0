r"""The syntax of RE2's regular expressions, as far as all versions of Prometheus accept it.

Python's own syntax is another one: it accepts look-around, back references and possessive quantifiers, which RE2 does
not, and refuses `[[:alpha:]]`, `\pL`, `\Q...\E`, `(?U)` and flags in the middle, which RE2 accepts. So the text is
read here the way Go's `regexp/syntax` reads it. Named groups are accepted as `(?P<name>...)` only: `(?<name>...)` is
newer than some versions of Prometheus in use.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 1000
"""Maximum length of an expression: it keeps nesting below RE2's limit."""
MAX_REPEATS = 1000
"""RE2's maximum of a repetition, and of the product of nested ones."""

GROUP = re.compile(r"\((?:\?(?:P<[A-Za-z0-9_]+>|(?:[imsU]*(?:-[imsU]+)?)([:)])))?")
"""The beginning of a group, or flags: group 1 is `)` for flags that are no group."""
REPEAT = re.compile(r"[*+?]\??|\{(0|[1-9]\d*)(?:(,)(0|[1-9]\d*)?)?\}\??", re.ASCII)
NAMED_CLASS = re.compile(r"\[:(.*?):\]", re.DOTALL)
UNICODE_CLASS = re.compile(r"\\[pP](?:\{\^?([^}]*)\}|([^{]))", re.DOTALL)
CHARACTER = re.compile(
    r"\\(?:[1-7][0-7]{1,2}|0[0-7]{0,2}|x[0-9A-Fa-f]{2}|x\{([0-9A-Fa-f]{1,8})\}|[afnrtv]|[^0-9A-Za-z\x80-\U0010ffff])",
    re.DOTALL,
)
"""An escape that means one character."""
PERL_CLASS = re.compile(r"\\[dDsSwW]")
POSITION = re.compile(r"\\[AbBz]")
QUOTED = re.compile(r"\\Q(.*?)\\E", re.DOTALL)
"""Literal text. It must end: some versions append to the expression, which would be literal too."""
CLASS_NAMES = re.compile(r"alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit")
CATEGORIES = re.compile(
    r"Any|C|Cc|Cf|Co|Cs|L|Ll|Lm|Lo|Lt|Lu|M|Mc|Me|Mn|N|Nd|Nl|No|P|Pc|Pd|Pe|Pf|Pi|Po|Ps|S|Sc|Sk|Sm|So|Z|Zl|"
    r"Zp|Zs"
)
SCRIPTS = re.compile(
    r"Arabic|Armenian|Bengali|Bopomofo|Braille|Cherokee|Common|Coptic|Cyrillic|Devanagari|Ethiopic|"
    r"Georgian|Greek|Gujarati|Gurmukhi|Han|Hangul|Hebrew|Hiragana|Inherited|Kannada|Katakana|Khmer|Lao|"
    r"Latin|Malayalam|Mongolian|Myanmar|Oriya|Runic|Sinhala|Syriac|Tamil|Telugu|Thaana|Thai|Tibetan|Yi"
)
ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class PatternError(ValueError):
    """A text that is not a regular expression of RE2; the message says why."""


def check_pattern(text: str) -> None:
    """Raises PatternError for a text that Prometheus does not accept as a regular expression."""
    if len(text) > MAX_CHARACTERS:
        raise PatternError(f"it is longer than {MAX_CHARACTERS} characters")
    reader = _Reader(text)
    reader.read_alternatives()
    if reader.rest:
        raise PatternError("a closing parenthesis is unmatched")


class _Reader:
    """Reads an expression from left to right; each method reads one part and returns its highest repetition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def rest(self) -> str:
        """The text that is not read yet."""
        return self._text[self._at :]

    def read_alternatives(self) -> int:
        """Reads up to the end or an unmatched `)`."""
        highest, last = 1, 0  # the repetition of what a quantifier would repeat; 0 if there is nothing
        follows_repeat = False
        while self._at < len(self._text) and self._text[self._at] != ")":
            repeat = REPEAT.match(self._text, self._at)
            if repeat is not None:
                if not last:
                    raise PatternError(f"{repeat[0]} has nothing to repeat")
                if follows_repeat:
                    raise PatternError(f"{repeat[0]} repeats a repetition: use parentheses")
                last = self._repeated(repeat, last)
            elif self._text[self._at] == "|":
                self._at, last = self._at + 1, 0
            else:
                last = self._read_item() or last
            follows_repeat = repeat is not None
            highest = max(highest, last)
        return highest

    def _repeated(self, repeat: re.Match[str], inner: int) -> int:
        self._at = repeat.end()
        if repeat[1] is None:
            return inner
        least = int(repeat[1])
        most = least if not repeat[2] else int(repeat[3]) if repeat[3] else -1
        if max(least, most) > MAX_REPEATS or 0 <= most < least:
            raise PatternError(f"{repeat[0]} must count up to {MAX_REPEATS}")
        times = max(most, least)
        if times > 1 and times * inner > MAX_REPEATS:
            raise PatternError(f"nested repetitions exceed {MAX_REPEATS}")
        return max(times, 1) * inner

    def _read_item(self) -> int:
        """Reads a group, class, escape or character; returns 0 for what a quantifier does not see, such as flags."""
        sign = self._text[self._at]
        if sign == "(":
            return self._read_group()
        if sign == "[":
            self._read_class()
        elif sign == "\\":
            return self._read_escape()
        else:
            self._at += 1
        return 1

    def _read_group(self) -> int:
        group = GROUP.match(self._text, self._at)
        if group is None or (group[0] == "(" and self._text.startswith("(?", self._at)):
            raise PatternError("Prometheus supports (?:...), (?P<name>...) and the flags imsU after (? only")
        self._at = group.end()
        if group[1] == ")":
            return 0
        highest = self.read_alternatives()
        if not self.rest:
            raise PatternError("a parenthesis is not closed")
        self._at += 1
        return highest

    def _read_escape(self) -> int:
        if quoted := QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            return bool(quoted[1])
        if not self._skip(PERL_CLASS, POSITION):
            if self._text.startswith(("\\p", "\\P"), self._at):
                self._read_unicode_class()
            else:
                self._read_character()
        return 1

    def _read_class(self) -> None:
        self._at += 1 + self._text.startswith("[^", self._at)
        is_first = True
        while is_first or not self.rest.startswith("]"):
            if not self.rest:
                raise PatternError("a bracket is not closed")
            is_first = False
            named = NAMED_CLASS.match(self._text, self._at)
            if named is not None:
                if CLASS_NAMES.fullmatch(named[1].removeprefix("^")) is None:
                    raise PatternError(f"{named[0]} is no class of characters")
                self._at = named.end()
            elif self._text.startswith(("\\p", "\\P"), self._at):
                self._read_unicode_class()
            elif not self._skip(PERL_CLASS):
                self._read_range()
        self._at += 1

    def _read_range(self) -> None:
        first = self._read_character()
        if self.rest.startswith("-") and not self.rest.startswith("-]") and len(self.rest) > 1:
            self._at += 1
            if self._read_character() < first:
                raise PatternError("a range of characters ends before it begins")

    def _read_unicode_class(self) -> None:
        found = UNICODE_CLASS.match(self._text, self._at)
        name = (found[1] if found[1] is not None else found[2]) if found else ""
        if found is None or not (CATEGORIES.fullmatch(name) or SCRIPTS.fullmatch(name)):
            raise PatternError(r"after \p follows a category such as L or {Lu}, or a script such as {Greek}")
        self._at = found.end()

    def _read_character(self) -> str:
        """Reads a character or its escape, and returns the character."""
        if not self._text.startswith("\\", self._at):
            self._at += 1
            return self._text[self._at - 1]
        found = CHARACTER.match(self._text, self._at)
        if found is None:
            raise PatternError(f"{self._text[self._at : self._at + 2]} is no escape sequence of RE2")
        self._at = found.end()
        code = found[0][1:]
        if code in ESCAPES:
            return ESCAPES[code]
        if code[0] == "x":
            number = int(found[1] or code[1:], 16)
        elif code[0].isdigit():
            number = int(code, 8)
        else:
            return code
        if number > 0x10FFFF:  # noqa: PLR2004 - the last code point of Unicode
            raise PatternError(f"{found[0]} is beyond Unicode")
        return chr(number)

    def _skip(self, *forms: re.Pattern[str]) -> bool:
        for form in forms:
            if found := form.match(self._text, self._at):
                self._at = found.end()
                return True
        return False
