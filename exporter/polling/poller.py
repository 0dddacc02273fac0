"""Polls one job kind of a target: reads, reconciles, stores, publishes. An error is recorded and never raised."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from exporter.errors import ApiError, BudgetExceededError, ExporterError
from exporter.ims.client import RetryBudget
from exporter.jobs.count_history import extended
from exporter.jobs.labels import UNKNOWN
from exporter.jobs.snapshot import TargetView
from exporter.jobs.states import FAILED, FINISHED
from exporter.polling.ledger.counting import Reasons, is_given_up
from exporter.polling.observe import observe
from exporter.polling.pagination import Labels
from exporter.polling.reading import Reader
from exporter.polling.reconcile import MAX_LAG_SECONDS, reconcile
from exporter.polling.records import Reason
from exporter.threads import to_thread_shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.snapshot import PollKey, Snapshot
    from exporter.polling.ledger import Ledger
    from exporter.polling.reading import Api
    from exporter.polling.records import Known, Observed, Outcome, Row

HOUR = 3600
DAY = 86400
MAX_REASONS_PER_POLL = 50
"""Maximum number of failed jobs whose reason one poll asks for; the next polls ask for the others."""
MAX_REASON_ERRORS = 3
"""Number of failed calls for reasons after which a poll asks for no more."""
FORBIDDEN_FOR_SECONDS = 3600.0
"""Seconds for which no details call is made after one was forbidden."""


@dataclass(frozen=True, slots=True)
class PollSettings:
    """The settings of a poll."""

    interval_seconds: float
    lookback_days: int
    failure_details: bool
    job_types: tuple[str, ...] = ()


def window_start(now: int, lookback_days: int) -> int:
    """Returns where the lookback begins: ended jobs are counted by full hours of creation."""
    return (now - lookback_days * DAY) // HOUR * HOUR


def page_size(kind: JobKind, polls: int) -> int:
    """Returns the page size of a poll: it changes from poll to poll, so that pages do not always end in one place."""
    return kind.paging.max_size - polls % 2


class Poller:
    """Polls one job kind of a target; `view` is what can be shown of it.

    `observe_poll` is called with the seconds of each poll and the reason of its failure, None for a good one. `now`
    is the local clock in Unix seconds.
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
        self.last_heartbeat = time.monotonic()
        self.polled_at = 0
        """Start of the last good poll, on the service's clock."""
        self.needs_survey = False
        """Whether the lists were so late that jobs may be missing from the counts."""
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._observe_poll = observe_poll
        self._now = now
        self._get_allowed_from = 0.0
        self._has_got = False
        self._sightings: dict[str, Row] = {}
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.get_logger().bind(**key.labels)

    async def run(self) -> None:
        """Makes one poll and records how it went: in `view`, in the metrics, and as one line in the log."""
        async with self._one_at_a_time:
            started = time.monotonic()
            error: Exception | None = None
            try:
                await self.poll()
            except Exception as caught:  # noqa: BLE001 - the one place that catches broadly: a poll must not end the loop
                error = caught
            self._record(error, time.monotonic() - started)

    async def poll(self) -> Snapshot:
        """Makes one poll and publishes it; raises ExporterError, and then nothing has changed."""
        started = time.monotonic()
        self._heartbeat()
        known = await to_thread_shielded(self._ledger.load, self.key, self._settings.job_types)
        reader = self._reader(known)
        observed = await observe(
            reader,
            known,
            lookback_seconds=self._settings.lookback_days * DAY,
            interval_seconds=self._settings.interval_seconds,
        )
        sightings = dict(self._sightings)
        reader.rows.extend(sightings.values())
        outcome = reconcile(known, observed)
        reasons = await self._ask_reasons(reader, known, outcome.ended)
        taken_at = self._now()
        snapshot = await to_thread_shielded(
            self._ledger.commit,
            self.key,
            known,
            outcome,
            reasons,
            taken_at=taken_at,
            window_start=window_start(observed.started_at, self._settings.lookback_days),
        )
        for job_id in sightings:  # a survey may have handed on others meanwhile
            self._sightings.pop(job_id, None)
        self._publish(snapshot, outcome, reader, observed)
        self._log_failures(known, outcome, reasons)
        self._log_lateness(outcome)
        self._log_poll(outcome, reader, time.monotonic() - started)
        return snapshot

    def add_sightings(self, rows: Iterable[Row]) -> None:
        """Hands on the ended jobs that a survey has met and that the polls miss; the next poll counts them."""
        self._sightings.update((row.job_id, row) for row in rows)

    def add_skipped_rows(self, skipped: Mapping[str, int]) -> None:
        """Counts rows that could not be read, by reason; the first ones are logged."""
        before = self.view.health.rows_skipped
        for reason, number in skipped.items():
            if reason not in before:
                self._log.warning(
                    "rows_skipped", reason=reason, rows=number, hint="the service lists jobs that cannot be read"
                )
        if skipped:
            self.update_health(rows_skipped={**before, **Counter(before) + Counter(skipped)})

    def add_exceeded_budget(self, work: str) -> None:
        """Counts a poll or a survey that was cut short by its budget."""
        before = self.view.health.budgets_exceeded
        self.update_health(budgets_exceeded={**before, work: before.get(work, 0) + 1})

    def update_health(self, **changes: object) -> None:
        """Publishes a change of the health, such as a survey's progress."""
        self.view = replace(self.view, health=replace(self.view.health, **changes))  # type: ignore[arg-type] # fields of Health

    def _reader(self, known: Known) -> Reader:
        has_details = self._settings.failure_details and self._api.kind.details is not None
        return Reader(
            api=self._api,
            budget=RetryBudget(self._settings.interval_seconds, self._heartbeat),
            labels=Labels(self._api.kind, known.job_types, (job.job_state for job in known.open_jobs.values())),
            job_types=self._settings.job_types,
            page_size=page_size(self._api.kind, known.polls),
            may_get=has_details and time.monotonic() >= self._get_allowed_from,
            local_time=int(self._now()),
            has_got=self._has_got,
        )

    async def _ask_reasons(self, reader: Reader, known: Known, ended: Iterable[Row]) -> Reasons:
        """Asks why jobs failed, those first that were not asked for yet; a reason that is not learned is no error."""
        failed = [row.job_id for row in ended if row.job_state == FAILED and row.reason is None]
        unknown = [job_id for job_id in failed if job_id not in reader.reasons]
        to_ask = [*unknown, *(job.job_id for job in known.owed)][:MAX_REASONS_PER_POLL]
        asked: set[str] = set()
        errors = 0

        async def ask(job_id: str) -> None:
            nonlocal errors
            if errors >= MAX_REASON_ERRORS:
                return
            asked.add(job_id)
            try:
                await reader.get(job_id, RetryBudget(0, self._heartbeat))
            except ApiError:
                errors += 1

        await reader.ask_each(to_ask, ask)
        self._has_got = reader.has_got
        if reader.was_forbidden:
            self._forbid_details()
        return Reasons(reader.reasons, frozenset(asked), may_ask=reader.may_get)

    def _forbid_details(self) -> None:
        is_first = self._get_allowed_from == 0.0
        self._get_allowed_from = time.monotonic() + FORBIDDEN_FOR_SECONDS
        if is_first and (details := self._api.kind.details):
            self._log.warning(
                "failure_details_forbidden",
                hint=f"failures count as error_code=unknown; grant ice:{details.action}, or set failure_details off",
            )

    def _publish(self, snapshot: Snapshot, outcome: Outcome, reader: Reader, observed: Observed) -> None:
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
        self.view = TargetView(
            self.key, snapshot, health, extended(self.view.history, snapshot), published_at=time.monotonic()
        )
        self.add_skipped_rows(reader.skipped)
        if observed.was_cut_short:
            self.add_exceeded_budget("poll")

    def _record(self, error: Exception | None, seconds: float) -> None:
        self._heartbeat()
        reason = None if error is None else error.reason if isinstance(error, ExporterError) else "other"
        if error is not None:
            self._record_failure(error, reason or "", seconds)
        self._observe_poll(seconds, reason)

    def _record_failure(self, error: Exception, reason: str, seconds: float) -> None:
        is_ours = isinstance(error, ExporterError)
        hint = error.hint if isinstance(error, ExporterError) else "this is a bug of the exporter: please report it"
        text = str(error) if is_ours else type(error).__name__  # the text of another error may hold a secret
        self.update_health(
            up=False,
            last_attempt_at=self._now(),
            last_error=f"{text}; {hint}" if hint else text,
            last_reason=reason,
        )
        if isinstance(error, BudgetExceededError):
            self.add_exceeded_budget("poll")
        fields = {"outcome": "failed", "reason": reason, "error": str(error), "hint": hint}
        if isinstance(error, ApiError):
            fields |= {"code": error.code, "request_id": error.request_id}
        self._log.error("poll", **fields, duration_seconds=round(seconds, 3), exc_info=None if is_ours else error)

    def _log_failures(self, known: Known, outcome: Outcome, reasons: Reasons) -> None:
        """Logs each failure once: as soon as its reason is known, or once it is given up."""
        given_up = {job.job_id for job in known.owed if is_given_up(job, reasons, outcome.started_at)}
        failed = {row.job_id: row for row in outcome.ended if row.job_state == FAILED}
        types = {job.job_id: job.job_type for job in known.owed} | {key: row.job_type for key, row in failed.items()}
        for job_id, job_type in types.items():
            row = failed.get(job_id)
            reason = (row.reason if row else None) or reasons.known.get(job_id)
            if reason is None and (job_id in given_up or (row and not reasons.may_ask)):
                reason = Reason(UNKNOWN)
            if reason:
                self._log.warning(
                    "job_failed",
                    job_id=job_id,
                    job_type=job_type,
                    error_code=reason.error_code,
                    error_message=reason.error_message,
                )

    def _log_lateness(self, outcome: Outcome) -> None:
        if outcome.late_jobs:
            self.needs_survey = self.needs_survey or outcome.lag_seconds > MAX_LAG_SECONDS
            self._log.warning(
                "lists_late",
                late_jobs=outcome.late_jobs,
                lag_seconds=round(outcome.lag_seconds),
                hint=f"lists that are more than {MAX_LAG_SECONDS} seconds late may hide jobs that end in between",
            )

    def _log_poll(self, outcome: Outcome, reader: Reader, seconds: float) -> None:
        ended = Counter(row.job_state for row in outcome.ended)
        self._log.info(
            "poll",
            outcome="ok",
            duration_seconds=round(seconds, 3),
            list_calls=reader.list_calls,
            created=len(outcome.created_types),
            finished=ended[FINISHED],
            failed=ended[FAILED],
            deleted=len(outcome.deleted),
        )

    def _heartbeat(self) -> None:
        self.last_heartbeat = time.monotonic()
