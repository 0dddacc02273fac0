"""Target `wire`: whatever the service answers is data, or an error of the API, which says that it cannot be read."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from exporter.errors import ApiError, BadResponseError
from exporter.ims.answers import parse_error, parse_handle_job, parse_page
from tests.fuzz.answers import BODIES
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INT64 = range(-(2**63), 2**63)


def check(body: bytes) -> None:
    """Reads an answer as each of the three that it may be; what was read can be stored and shown."""
    with suppress(BadResponseError):
        page = parse_page(body)
        for part in (
            page.next_token,
            page.max_results,
            page.total_count,
            *(field for job in page.jobs for field in job),
        ):
            _fits(part)
    with suppress(BadResponseError):
        job = parse_handle_job(body)
        for part in (job.job_id, job.state, job.error_code, job.error_message, job.create_time, job.modified_time):
            _fits(part)
    error = parse_error(400, body)
    assert isinstance(error, ApiError)
    _fits(str(error))
    _fits(error.code)


def _fits(value: Any) -> None:  # noqa: ANN401 - any field
    """Holds for what the ledger and UTF-8 can carry."""
    if isinstance(value, str):
        value.encode()
    else:
        assert value is None or value in INT64


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Gives the check."""
    yield check


WIRE = Target("wire", BODIES, ready)
