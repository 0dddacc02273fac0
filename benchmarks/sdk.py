"""The official SDK in a plain loop that lists all jobs, 100 per page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alibabacloud_ice20201109 import models
from alibabacloud_ice20201109.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

from exporter.jobs.kinds import SMART

if TYPE_CHECKING:
    from exporter.simulator.authentication import Key


class OfficialSdk:
    """The SDK's client for one account; `url` is that of the service."""

    def __init__(self, url: str, key: Key) -> None:
        self._client: Any = Client(
            Config(
                access_key_id=key.key_id,
                access_key_secret=key.secret,
                endpoint=urlsplit(url).netloc,
                protocol="HTTP",
                region_id="cn-shanghai",
            )
        )

    def list_all(self, pages: int | None = None) -> int:
        """Reads all pages, or the first ones; returns the number of jobs."""
        request = models.ListSmartJobsRequest(max_results=SMART.paging.max_size)
        seen = 0
        while request.next_token != "" and pages != 0:
            body = self._client.list_smart_jobs_with_options(request, RuntimeOptions()).body
            seen += len(body.smart_job_list)
            request.next_token = body.next_token
            pages = None if pages is None else pages - 1
        return seen

    async def list_pages(self, pages: int) -> None:
        """Reads the first pages with the SDK's asynchronous client."""
        request = models.ListSmartJobsRequest(max_results=SMART.paging.max_size)
        for _ in range(pages):
            body = (await self._client.list_smart_jobs_with_options_async(request, RuntimeOptions())).body
            request.next_token = body.next_token
