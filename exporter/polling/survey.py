"""The survey of one target: counts the ended jobs of the whole lookback in the background, resumable at any page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from exporter.errors import BadRequestError, BadResponseError, ExporterError, NotFoundError, ServerError
from exporter.ims.client import RetryBudget
from exporter.polling.pagination import PAGE_SIZE, Labels
from exporter.polling.poller import window_start
from exporter.threads import to_thread_shielded

if TYPE_CHECKING:
    from exporter.jobs.snapshot import PollKey
    from exporter.polling.ledger import Ledger, SurveyState
    from exporter.polling.poller import Poller
    from exporter.polling.reading import Api

WEIGHT = 2
"""A survey's call costs twice, so that it takes half of the account's rate at most."""
RETRY_SECONDS = 60.0
TOO_OLD_SECONDS = 86400
"""A survey that could not be completed in so long begins anew."""
PAGES_WITHOUT_NEWS = 1000
LOG_STEPS = 10


class Survey:
    """Surveys one target whenever it is due; `poller` shows its progress."""

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
        self._idle_pages = 0
        self._log = structlog.get_logger().bind(**self._key.labels)

    @property
    def _key(self) -> PollKey:
        return self._poller.key

    async def run(self) -> bool:
        """Surveys if a survey is due or was interrupted, after a good poll.

        Returns whether one was completed. An error is logged, and the next call resumes.
        """
        try:
            state = await self._due()
            if state is None:
                return False
            await self._read(state)
        except ExporterError as error:
            self._log.warning("survey", outcome="interrupted", reason=error.reason, error=str(error), hint=error.hint)
            return False
        except Exception as error:  # noqa: BLE001 - a background task, for whose errors nobody waits
            self._log.error("survey", outcome="interrupted", reason="other", error=str(error), exc_info=error)
            return False
        return True

    async def _due(self) -> SurveyState | None:
        now = self._poller.polled_at
        start = window_start(now, self._lookback_days)
        state, last = await to_thread_shielded(self._ledger.survey_state, self._key, start)
        self._poller.update_health(survey_complete=last.is_complete, catchup_truncated=last.is_truncated)
        if state is not None and now - state.started_at < TOO_OLD_SECONDS:
            self._log.info("survey", outcome="resumed", progress_ratio=round(state.progress(self._api.kind), 3))
            return state
        if last.is_complete and not last.is_truncated and now - (last.started_at or 0) < self._interval:
            self._poller.update_health(survey_progress=1.0)
            return None
        return await self._begin()

    async def _begin(self) -> SurveyState:
        now = self._poller.polled_at
        self._log.info("survey", outcome="started", lookback_days=self._lookback_days)
        return await to_thread_shielded(
            self._ledger.start_survey, self._key, now, window_start(now, self._lookback_days)
        )

    async def _read(self, state: SurveyState) -> None:
        labels = Labels(self._api.kind)
        self._idle_pages = 0
        resumed = bool(state.next_token)
        going: SurveyState | None = state
        while going is not None:
            try:
                following = await self._page(going, labels)
            except (BadRequestError, NotFoundError, ServerError):
                if not resumed:
                    raise
                following = await self._begin()  # the token kept from the last run is no longer taken
            resumed = False
            self._show(going, following)
            going = following

    async def _page(self, state: SurveyState, labels: Labels) -> SurveyState | None:
        page = await self._api.list_jobs(
            job_type=self._job_types[0] if len(self._job_types) == 1 else "",
            job_state=state.job_state,
            size=PAGE_SIZE,
            token=state.next_token,
            budget=RetryBudget(RETRY_SECONDS),
            weight=WEIGHT,
        )
        if page.next_token and page.next_token == state.next_token:
            raise BadResponseError("the list gives the same NextToken again: it would never end", code="EndlessList")
        rows = labels.rows(page, state.started_at if state.cursor_at is None else state.cursor_at)
        return await to_thread_shielded(self._ledger.store_survey_page, self._key, state, rows, page.next_token)

    def _show(self, before: SurveyState, after: SurveyState | None) -> None:
        if after is None:
            self._poller.update_health(survey_complete=True, survey_progress=1.0, catchup_truncated=False)
            self._log.info("survey", outcome="complete")
            return
        self._poller.update_health(survey_progress=after.progress(self._api.kind))
        self._watch(before, after)
        if int(after.progress(self._api.kind) * LOG_STEPS) > int(before.progress(self._api.kind) * LOG_STEPS):
            self._log.info("survey", outcome="going on", progress_ratio=round(after.progress(self._api.kind), 3))

    def _watch(self, before: SurveyState, after: SurveyState) -> None:
        moved = (before.job_state, before.cursor_at, before.cursor_ids) != (
            after.job_state,
            after.cursor_at,
            after.cursor_ids,
        )
        self._idle_pages = 0 if moved else self._idle_pages + 1
        if self._idle_pages > PAGES_WITHOUT_NEWS:
            raise BadResponseError("the list shows the same jobs over and over", code="EndlessList")
