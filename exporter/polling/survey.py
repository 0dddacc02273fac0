"""Surveys one job kind of a target: counts the ended jobs of the lookback, in the background, resumable at any page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from exporter.errors import BadRequestError, BadResponseError, ExporterError, NotFoundError, ServerError
from exporter.ims.client import RetryBudget
from exporter.polling.pagination import Labels, ListCursor
from exporter.polling.poller import window_start
from exporter.polling.reading import PAGE_SIZE_STEP
from exporter.threads import to_thread_shielded

if TYPE_CHECKING:
    from exporter.ims.answers import Page
    from exporter.jobs.snapshot import PollKey
    from exporter.polling.ledger import Ledger, SurveyState
    from exporter.polling.poller import Poller
    from exporter.polling.reading import Api

WEIGHT = 2
"""A call of a survey costs twice, so that a survey takes at most half of the account's rate."""
RETRY_SECONDS = 60.0
MAX_AGE_SECONDS = 86400
"""Age from which an interrupted survey starts from the beginning."""
MAX_PAGES_WITHOUT_PROGRESS = 1000
MAX_PAGES_AGAIN = 50_000
"""Maximum number of pages of a list that is read again for its ties, in which progress looks like a loop."""
LOG_STEPS = 10
PAGE_SIZES = 7
"""Number of page sizes that the readings of one list take in turn."""


class Survey:
    """Surveys one job kind of a target whenever a survey is due; `poller` shows its progress."""

    def __init__(
        self,
        poller: Poller,
        api: Api,
        ledger: Ledger,
        *,
        interval_seconds: float,
        lookback_days: int,
        job_types: tuple[str, ...] = (),
    ) -> None:
        self._poller = poller
        self._api = api
        self._ledger = ledger
        self._interval = interval_seconds
        self._lookback_days = lookback_days
        self._job_types = job_types
        self._pages_without_progress = 0
        self._log = structlog.get_logger().bind(**self._key.labels)

    @property
    def _key(self) -> PollKey:
        return self._poller.key

    async def run(self) -> bool:
        """Makes or resumes a survey if one is due; the job kind must have been polled.

        Returns whether a survey was completed. An error is logged, and the next call resumes.
        """
        try:
            state = await self._due()
            if state is None:
                return False
            await self._read(state)
        except ExporterError as error:
            self._log.warning("survey", outcome="interrupted", reason=error.reason, error=str(error), hint=error.hint)
            return False
        except Exception as error:  # noqa: BLE001 - a background task, whose errors nobody awaits
            self._log.error("survey", outcome="interrupted", reason="other", error=str(error), exc_info=error)
            return False
        return True

    async def _due(self) -> SurveyState | None:
        now = self._poller.polled_at
        start = window_start(now, self._lookback_days)
        state, last = await to_thread_shielded(self._ledger.survey_state, self._key, start)
        self._poller.update_health(survey_complete=last.is_complete, catchup_truncated=last.is_truncated)
        if state is not None and now - state.started_at < MAX_AGE_SECONDS:
            self._log.info("survey", outcome="resumed", progress_ratio=round(state.progress(self._api.kind), 3))
            return state
        is_covered = last.is_complete and not last.is_truncated and not self._poller.needs_survey
        if is_covered and now - (last.started_at or 0) < self._interval:
            self._poller.update_health(survey_progress=1.0)
            return None
        return await self._start()

    async def _start(self) -> SurveyState:
        now = self._poller.polled_at
        self._poller.needs_survey = False
        self._log.info("survey", outcome="started", lookback_days=self._lookback_days)
        return await to_thread_shielded(
            self._ledger.start_survey, self._key, now, window_start(now, self._lookback_days)
        )

    async def _read(self, state: SurveyState) -> None:
        labels = Labels(self._api.kind)
        self._pages_without_progress = 0
        is_resumed = bool(state.next_token)
        current: SurveyState | None = state
        while current is not None:
            try:
                following = await self._page(current, labels)
            except (BadRequestError, NotFoundError, ServerError):
                if not is_resumed:
                    raise
                following = await self._start()  # the service does not accept the token of the last run any more
            is_resumed = False
            self._show(current, following)
            current = following

    async def _page(self, state: SurveyState, labels: Labels) -> SurveyState | None:
        kind = self._api.kind
        size = kind.paging.max_size - PAGE_SIZE_STEP * ((state.reading - 1) % PAGE_SIZES)

        async def ask(token: str) -> Page:
            return await self._api.list_jobs(
                job_type=self._job_types[0] if len(self._job_types) == 1 and kind.filters.job_type else "",
                job_state=state.job_state,
                size=max(1, size),
                token=token,
                budget=RetryBudget(RETRY_SECONDS),
                weight=WEIGHT,
            )

        newest = state.started_at if state.cursor_at is None or state.reading > 1 else state.cursor_at
        cursor = ListCursor(
            ask,
            labels,
            newest,
            list_state=kind.state_of(state.job_state),
            token=state.next_token,
            expects_rows=bool(state.next_token),
        )
        rows = await cursor.next_page()
        self._poller.add_skipped_rows(cursor.skipped)
        following, missing = await to_thread_shielded(
            self._ledger.store_survey_page, self._key, state, rows, cursor.token
        )
        self._poller.add_sightings(missing)
        return following

    def _show(self, before: SurveyState, after: SurveyState | None) -> None:
        if after is None:
            self._poller.update_health(survey_complete=True, survey_progress=1.0, catchup_truncated=False)
            self._log.info("survey", outcome="complete")
            return
        progress = after.progress(self._api.kind)
        self._poller.update_health(survey_progress=progress)
        self._check_progress(before, after)
        if int(progress * LOG_STEPS) > int(before.progress(self._api.kind) * LOG_STEPS):
            self._log.info("survey", outcome="in progress", progress_ratio=round(progress, 3))

    def _check_progress(self, before: SurveyState, after: SurveyState) -> None:
        """Raises BadResponseError, and counts it, for a list that shows the same jobs again under ever new tokens."""
        place = (before.job_state, before.reading, before.cursor_at, before.cursor_ids)
        has_moved = place != (after.job_state, after.reading, after.cursor_at, after.cursor_ids)
        self._pages_without_progress = 0 if has_moved else self._pages_without_progress + 1
        if self._pages_without_progress > (MAX_PAGES_WITHOUT_PROGRESS if after.reading == 1 else MAX_PAGES_AGAIN):
            self._poller.add_exceeded_budget("survey")
            raise BadResponseError("the list shows the same jobs again and again", code="EndlessList")
