"""Target `wire`: any answer of the service is decoded, or is an error that says that it cannot be read."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from exporter.errors import ApiError, BadResponseError
from exporter.ims.answers import PageDecoder, parse_details, parse_error
from exporter.jobs.kinds import SMART
from tests.fuzz.answers import BODIES
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DECODER = PageDecoder(SMART)
INT64 = range(-(2**63), 2**63)


def check(body: bytes) -> None:
    """Reads an answer as each of the three that it may be; what was read can be stored and shown."""
    with suppress(BadResponseError):
        page = DECODER.decode(body)
        for part in (
            page.next_token,
            *(field for job in page.jobs for field in job),
        ):
            _fits(part)
    assert SMART.details
    with suppress(BadResponseError):
        job = parse_details(body, SMART, SMART.details)
        for part in (job.job_state, job.error_code, job.error_message, job.modified_at):
            _fits(part)
    error = parse_error(400, body)
    assert isinstance(error, ApiError)
    _fits(str(error))
    _fits(error.code)


def _fits(value: Any) -> None:  # noqa: ANN401 - any field
    """Fails for values that the ledger or UTF-8 cannot hold."""
    if isinstance(value, str):
        value.encode()
    else:
        assert value is None or value in INT64


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check."""
    yield check


WIRE = Target("wire", BODIES, ready)
