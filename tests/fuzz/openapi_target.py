"""Target `openapi`: the server answers any request to a documented path as `docs/openapi.yaml` says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from hypothesis import strategies as st

from tests.fuzz.fuzzed_server import fuzzed_server
from tests.fuzz.target import Target
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import SearchStrategy
    from schemathesis import Case

DOCUMENT = ROOT / "docs" / "openapi.yaml"

NEEDS_BOTH = "/targets"
"""Parameters that need another one, which OpenAPI cannot express."""


def cases() -> SearchStrategy[Case[Any]]:
    """Draws valid and invalid requests of every documented operation."""
    import schemathesis  # noqa: PLC0415 - takes a second, which no other test should wait for
    from schemathesis import GenerationMode  # noqa: PLC0415 - as above

    schema = schemathesis.openapi.from_path(DOCUMENT)
    return schema.as_strategy(generation_mode=GenerationMode.POSITIVE) | schema.as_strategy(
        generation_mode=GenerationMode.NEGATIVE
    )


@contextmanager
def ready() -> Iterator[Callable[[Case[Any]], None]]:
    """Yields the check, with a running server."""
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: PLC0415 - as above

    with fuzzed_server() as (server, errors), requests.Session() as session:
        session.trust_env = False

        def check(case: Case[Any]) -> None:
            case.call_and_validate(
                base_url=server.url,
                session=session,
                excluded_checks=[positive_data_acceptance] if case.path == NEEDS_BOTH else [],
            )
            assert not errors.kept, errors.kept.pop()

        yield check


OPENAPI = Target("openapi", st.deferred(cases), ready)
