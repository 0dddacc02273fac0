"""Inputs made from valid ones: values exchanged, texts cut, doubled, and mixed with special words of the format."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

MOST_EDITS = 5


@st.composite
def mutated(draw: DrawFn, seeds: SearchStrategy[bytes], words: Sequence[bytes]) -> bytes:
    """Draws an input with spans cut, doubled or replaced; `words` are special in the format."""
    text = draw(seeds)
    for _ in range(draw(st.integers(0, MOST_EDITS))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        put = draw(st.sampled_from(words) | st.binary(max_size=4) | st.just(text[start:end] * 2))
        text = text[:start] + put + text[end:]
    return text


@st.composite
def spoiled(
    draw: DrawFn, documents: SearchStrategy[Any], odd: SearchStrategy[Any], most_edits: int = MOST_EDITS
) -> Any:  # noqa: ANN401 - a document
    """Draws a document of mappings and lists in which some places hold something odd, twice the same, or nothing."""
    document = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, most_edits))):
        found = places(document)
        if not found:
            break
        inside, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.sampled_from(("odd", "odd", "odd", "gone", "twice"))):
            case "odd":
                inside[key] = copy.deepcopy(draw(odd))
            case "gone":
                del inside[key]
            case "twice":
                inside[key] = [inside[key], copy.deepcopy(inside[key])]
    return document


def places(document: object) -> list[tuple[Any, Any]]:
    """Returns every place in a document: the mapping or list around it, and its key there."""
    if isinstance(document, dict):
        inner: list[tuple[Any, Any]] = list(document.items())
    else:
        inner = list(enumerate(document)) if isinstance(document, list) else []
    return [(document, key) for key, _ in inner] + [place for _, value in inner for place in places(value)]
