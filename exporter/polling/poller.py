"""Polls one target: reads, reconciles, stores, publishes; whatever goes wrong is recorded and never raised."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from exporter.errors import ApiError, ExporterError, ForbiddenError, NotFoundError
from exporter.ims.client import RetryBudget
from exporter.jobs.count_history import extended
from exporter.jobs.snapshot import TargetView
from exporter.jobs.states import FAILED, FINISHED
from exporter.polling.pagination import Labels
from exporter.polling.reading import Reader, Reason, observe, page_size
from exporter.polling.reconcile import SLACK_SECONDS, reconcile
from exporter.threads import to_thread_shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.jobs.snapshot import PollKey, Snapshot
    from exporter.polling.ledger import Ledger
    from exporter.polling.pagination import Row
    from exporter.polling.reading import Api
    from exporter.polling.reconcile import Known, Outcome

HOUR = 3600
DAY = 86400
REASONS_PER_POLL = 50
"""Failed jobs whose reason one poll asks for, at most; the others are counted as `unknown`."""
FORBIDDEN_FOR_SECONDS = 3600.0
"""Seconds for which no details call is made after one was forbidden."""


@dataclass(frozen=True, slots=True)
class PollSettings:
    """What a poll needs of the settings."""

    interval_seconds: float
    lookback_days: int
    failure_details: bool
    job_types: tuple[str, ...] = ()


def window_start(now: int, lookback_days: int) -> int:
    """Returns where the lookback begins: ended jobs are counted by full hours of creation."""
    return (now - lookback_days * DAY) // HOUR * HOUR


class Poller:
    """Polls one target, and holds what can be shown of it (`view`).

    `observe_poll` is told each poll's seconds and the reason of its failure, None for a good one. `now` is the local
    clock in Unix seconds.
    """

    def __init__(
        self,
        key: PollKey,
        api: Api,
        ledger: Ledger,
        settings: PollSettings,
        *,
        observe_poll: Callable[[float, str | None], None] = lambda *_: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.key = key
        self.view = TargetView(key)
        self.last_beat = time.monotonic()
        self.polled_at = 0
        """When the last good poll began, on the service's clock."""
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._observe_poll = observe_poll
        self._now = now
        self._get_allowed_from = 0.0
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger().bind(**key.labels)

    async def run(self) -> None:
        """Makes one poll and records how it went: in `view`, in the metrics, and as one line in the log."""
        async with self._turn:
            started = time.monotonic()
            error: Exception | None = None
            try:
                await self.poll()
            except Exception as caught:  # noqa: BLE001 - the one place that catches broadly: a poll must not end the loop
                error = caught
            self._record(error, time.monotonic() - started)

    def _record(self, error: Exception | None, seconds: float) -> None:
        self._beat()
        reason = None if error is None else error.reason if isinstance(error, ExporterError) else "other"
        if error is not None:
            self._record_failure(error, reason or "", seconds)
        self._observe_poll(seconds, reason)

    async def poll(self) -> Snapshot:
        """Makes one poll and publishes it; raises ExporterError, and then nothing has changed."""
        started = time.monotonic()
        self._beat()
        known = await to_thread_shielded(self._ledger.load, self.key, self._settings.job_types)
        reader = self._reader(known)
        observed = await observe(reader, known, SLACK_SECONDS, self._settings.lookback_days * DAY)
        outcome = reconcile(known, observed)
        await self._ask_reasons(reader, outcome.ended)
        if reader.was_forbidden:
            self._forbid_get()
        snapshot = await to_thread_shielded(
            self._ledger.commit,
            self.key,
            known,
            outcome,
            reader.reasons,
            taken_at=self._now(),
            window_start=window_start(observed.started_at, self._settings.lookback_days),
        )
        self._publish(snapshot, outcome)
        self._log_poll(outcome, reader, time.monotonic() - started)
        return snapshot

    def update_health(self, **changes: float | bool) -> None:
        """Publishes a change of the target's health, such as a survey's progress."""
        self.view = replace(self.view, health=replace(self.view.health, **changes))  # type: ignore[arg-type] # fields of Health

    def _reader(self, known: Known) -> Reader:
        return Reader(
            api=self._api,
            budget=RetryBudget(self._settings.interval_seconds, self._beat),
            labels=Labels(self._api.kind, known.job_types, (job.job_state for job in known.open_jobs.values())),
            job_types=self._settings.job_types,
            page_size=page_size(known.polls),
            may_get=self._settings.failure_details
            and self._api.kind.details is not None
            and time.monotonic() >= self._get_allowed_from,
            local_time=int(self._now()),
        )

    async def _ask_reasons(self, reader: Reader, ended: Iterable[Row]) -> None:
        """Asks why jobs failed, as far as allowed; a reason not had is no error."""
        failed = [row for row in ended if row.job_state == FAILED and row.job_id not in reader.reasons]
        for row in failed[:REASONS_PER_POLL]:
            if not reader.may_get:
                return
            try:
                answer = await self._api.get_job(row.job_id, budget=RetryBudget(0, self._beat))
                reader.reasons[row.job_id] = Reason(answer.error_code, answer.error_message)
            except NotFoundError:  # deleted meanwhile: the others may still tell their reasons
                pass
            except ApiError as error:
                reader.may_get = False
                reader.was_forbidden = isinstance(error, ForbiddenError)

    def _forbid_get(self) -> None:
        is_first = self._get_allowed_from == 0.0
        self._get_allowed_from = time.monotonic() + FORBIDDEN_FOR_SECONDS
        if is_first and (details := self._api.kind.details):
            self._log.warning(
                "failure_details_forbidden",
                hint=f"failures count as error_code=unknown; grant ice:{details.action}, or set failure_details off",
            )

    def _publish(self, snapshot: Snapshot, outcome: Outcome) -> None:
        health = replace(
            self.view.health,
            up=True,
            last_attempt_at=snapshot.taken_at,
            last_success_at=snapshot.taken_at,
            last_error="",
            last_reason="",
            catchup_truncated=self.view.health.catchup_truncated or outcome.is_truncated,
        )
        self.polled_at = outcome.started_at
        self.view = TargetView(self.key, snapshot, health, extended(self.view.history, snapshot))

    def _record_failure(self, error: Exception, reason: str, seconds: float) -> None:
        known = isinstance(error, ExporterError)
        hint = error.hint if isinstance(error, ExporterError) else "this is a bug of the exporter: please report it"
        said = str(error) if known else type(error).__name__  # what else it holds nobody has looked through
        message = f"{said}; {hint}" if hint else said
        health = replace(
            self.view.health, up=False, last_attempt_at=self._now(), last_error=message, last_reason=reason
        )
        self.view = replace(self.view, health=health)
        fields = {"outcome": "failed", "reason": reason, "error": str(error), "hint": hint}
        if isinstance(error, ApiError):
            fields |= {"code": error.code, "request_id": error.request_id}
        self._log.error("poll", **fields, duration_seconds=round(seconds, 3), exc_info=None if known else error)

    def _log_poll(self, outcome: Outcome, reader: Reader, seconds: float) -> None:
        for row in outcome.ended:
            if row.job_state == FAILED:
                reason = reader.reasons.get(row.job_id, Reason("", ""))
                self._log.warning(
                    "job_failed",
                    job_id=row.job_id,
                    job_type=row.job_type,
                    error_code=reason.error_code or "unknown",
                    error_message=reason.error_message,
                )
        ended = Counter(row.job_state for row in outcome.ended)
        self._log.info(
            "poll",
            outcome="ok",
            duration_seconds=round(seconds, 3),
            list_calls=reader.list_calls,
            created=len(outcome.created_types),
            finished=ended[FINISHED],
            failed=ended[FAILED],
            deleted=len(outcome.deleted_types),
        )

    def _beat(self) -> None:
        self.last_beat = time.monotonic()
