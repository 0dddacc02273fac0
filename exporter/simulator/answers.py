"""The service's answers as JSON: a page of jobs, one job, an error."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.simulator.refusal import RefusedError
    from exporter.simulator.world import Job

USER_ID = 1084506228000000
BUCKET = "demo-media"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, a body and its headers; `code` is the error code, or OK."""

    status: int
    body: bytes
    code: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)


def page(jobs: Iterable[Job], limit: int, next_token: str, total: int | None) -> Answer:
    """Returns the answer of ListSmartJobs: no NextToken on the last page, TotalCount only if given."""
    content: dict[str, object] = {
        "SmartJobList": [_list_item(job) for job in jobs],
        "NextToken": next_token,
        "MaxResults": str(limit),
    }
    if total is not None:
        content["TotalCount"] = str(total)
    return _answer(200, content)


def details(job: Job) -> Answer:
    """Returns the answer of GetSmartHandleJob; ErrorCode and ErrorMessage only for a job that failed."""
    content: dict[str, object] = {
        "JobId": job.job_id,
        "State": job.state,
        "UserData": "",
        "Output": "",
        "SmartJobInfo": {
            "Title": job.title,
            "Description": "",
            "UserId": str(USER_ID),
            "JobType": job.job_type,
            "CreateTime": wire_time(job.created_at),
            "ModifiedTime": wire_time(job.modified_at),
            "InputConfig": {"InputFile": f"oss://{BUCKET}/in/{job.job_id}"},
            "OutputConfig": {"Bucket": BUCKET, "Object": f"out/{job.job_id}"},
        },
    }
    if job.state == "Failed" and job.error:
        content["ErrorCode"], content["ErrorMessage"] = job.error
    return _answer(200, content)


def refusal(refused: RefusedError, host: str) -> Answer:
    """Returns the error answer."""
    content: dict[str, object] = {
        "HostId": host,
        "Code": refused.code,
        "Message": refused.message,
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={refused.code}&product=ICE",
    }
    headers = {} if refused.retry_after is None else {"Retry-After": f"{refused.retry_after:g}"}
    return _answer(refused.status, content, refused.code, headers)


def wire_time(seconds: float) -> str:
    """Returns a time as the service writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _list_item(job: Job) -> dict[str, object]:
    return {
        "JobId": job.job_id,
        "Title": job.title,
        "Description": "",
        "UserId": USER_ID,
        "JobType": job.job_type,
        "EditingConfig": '{"AudioConfig":{},"InputConfig":""}',
        "UserData": '{"user":"data"}',
        "JobState": job.state,
        "CreateTime": wire_time(job.created_at),
        "ModifiedTime": wire_time(job.modified_at),
        "InputConfig": {"InputFile": f"oss://{BUCKET}/in/{job.job_id}", "Keyword": ""},
        "OutputConfig": {"Bucket": BUCKET, "Object": f"out/{job.job_id}"},
    }


def _answer(status: int, content: dict[str, object], code: str = "OK", headers: dict[str, str] | None = None) -> Answer:
    request_id = str(uuid.uuid4()).upper()
    body = json.dumps({"RequestId": request_id, **content}).encode()
    return Answer(status, body, code, {"x-acs-request-id": request_id, **(headers or {})})
