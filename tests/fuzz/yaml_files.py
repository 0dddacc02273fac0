"""YAML files, valid and odd ones; reading any of them takes little time and shows no traceback or secret."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import strategies as st

from exporter.errors import SettingsError
from tests.fuzz.mutation import mutated, spoiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CANARY = "LTAI5tCanaryCanary"
MOST_SECONDS = 3.0
"""Maximum processor time to read one small file."""
MOST_MESSAGE = 20_000
LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(9))
MERGED_LAUGHS = "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" if n else "m0: &m0 {a: 1}\n" for n in range(8)
)
WORDS = tuple(
    word.encode()
    for word in (
        "&a ",
        "*a",
        "<<: *a",
        "<<: [*a, *a]",
        "? ",
        ": ",
        "- ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "|\n",
        ">-\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "#",
        "\t",
        "\n",
        "\n  ",
        "\ufeff",
        "\x85",
        "\x00",
        "~",
        "=",
        "!",
        "!!int ''",
        "!!int x",
        "!!float ''",
        "!!float .",
        "!!bool x",
        "!!timestamp x",
        "2001-99-99",
        "!!binary \u00e9",
        "!!map [a]",
        "!!set [a]",
        "!!omap [a]",
        "!!pairs {a: b}",
        "!!seq x",
        "!!null x",
        "!!python/object/apply:os.system [id]",
        "!!str",
        "1:60:99.5",
        "0o9",
        "0x",
        "0b",
        "._",
        "1e999",
        "-.inf",
        ".nan",
        "\\ud800",
        '"\\ud800"',
        '"\\U00110000"',
        "9999-12-31T23:59:59-23:59",
        "yes",
        "on",
        "1_0",
        "[" * 300,
        "{a: " * 300,
        f"*{CANARY}",
        f"!{CANARY} x",
        f"!!{CANARY} x",
        f'"\\{CANARY}"',
        CANARY,
    )
)
ODD: st.SearchStrategy[Any] = (
    st.sampled_from(
        (
            None,
            True,
            False,
            0,
            -1,
            1,
            65536,
            2**63,
            10**400,
            1e308,
            float("inf"),
            float("nan"),
            "",
            " ",
            "0",
            "x",
            "\n",
            "\x00",
            "*",
            "[",
            "[1",
            "{",
            "a,b",
            [],
            {},
            [[]],
            [None],
            {"": ""},
            {1: 2},
            "1" * 5000,
            "1" * 40_000 + "s",
            "\u00e9",
            "~",
            "~x/y",
            ".",
            "..",
            "/",
            CANARY,
            f"https://u:{CANARY}@x",
            [CANARY],
            {"x": CANARY},
            f"{CANARY}\n{CANARY}",
            f"'{CANARY}",
            "http://a",
            "https://[::1]:1",
            "https://[fe80::1%25x]",
            "https://x:99999",
            "xn--a.example",
            "a" * 64,
            "1.1",
            "0x1.1",
            "127.1:0",
            "[::]:9912",
            "host:99999",
            "\u0661:\u0661",
            "acs:ram::1:role/x",
            "cn-shanghai\n",
            "ASR",
            "asr",
        )
    )
    | st.text(max_size=12)
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
)


def yaml_files(seeds: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Draws files made from valid ones, by text or by structure."""
    documents = st.sampled_from([yaml.safe_load(seed) for seed in seeds])
    texts = st.sampled_from([seed.encode() for seed in (*seeds, LAUGHS, MERGED_LAUGHS)])
    dumped = spoiled(documents, ODD).map(
        lambda each: yaml.safe_dump(each, allow_unicode=True, sort_keys=False).encode()
    )
    keyed = st.builds(
        lambda key, value: f"{key}: {value}\n".encode("utf-8", "replace"),
        st.sampled_from([key for seed in seeds for key in yaml.safe_load(seed)]),
        st.sampled_from([word.decode() for word in WORDS]) | st.text(max_size=10),
    )
    laughing = st.builds(lambda start, line: start.encode() + line, st.sampled_from((LAUGHS, MERGED_LAUGHS)), keyed)
    return mutated(texts, WORDS) | dumped | mutated(dumped, WORDS) | keyed | laughing | st.binary(max_size=60)


def read_well(text: bytes, read: Callable[[], object]) -> None:
    """Reads a file with this text, and checks time, problems and secrets."""
    began = time.process_time()
    message = ""
    try:
        read()
    except SettingsError as error:
        message = str(error)
        assert message.startswith("the "), "all problems of a file are told together"
    seconds = time.process_time() - began
    assert seconds < MOST_SECONDS, f"took {seconds:.1f} s"
    assert len(message) < MOST_MESSAGE + 20 * len(text)
    assert "Traceback" not in message
    assert CANARY not in message or _is_key(text), "a value is repeated"


def _is_key(text: bytes) -> bool:
    """Whether the canary is in a key, which problems may name."""
    try:
        return any(CANARY in str(event.value) for event in _keys(yaml.compose(text.decode())))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return False


def _keys(node: Any) -> list[Any]:  # noqa: ANN401 - any node
    found, rest = [], [node]
    while rest:
        here = rest.pop()
        if isinstance(here, yaml.MappingNode):
            found += [key for key, _ in here.value]
            rest += [value for _, value in here.value]
        elif isinstance(here, yaml.SequenceNode):
            rest += here.value
    return found
