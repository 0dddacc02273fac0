"""Smart jobs: speech recognition, dynamic charts, video translation and text to speech.

Source: the API reference of ListSmartJobs and GetSmartHandleJob (version 2020-11-09), and the models of the official
Python SDK. GetSmartHandleJob answers for jobs of the past year.
"""

from __future__ import annotations

from exporter.jobs.kinds.kind import AlertLimits, DetailsCall, Filters, ItemFields, JobKind, Paging
from exporter.jobs.states import CREATED, EXECUTING, FAILED, FINISHED

SMART = JobKind(
    name="smart",
    title="smart jobs",
    action="ListSmartJobs",
    method="GET",
    filters=Filters(state="JobState", job_type="JobType"),
    newest_first=("SortBy", "CreationTime:Desc"),
    paging=Paging(
        size="MaxResults",
        token="NextToken",  # noqa: S106 - a page token
        answer_token=("NextToken",),
        number="PageNo",
        number_size="PageSize",
    ),
    items=("SmartJobList",),
    fields=ItemFields(
        job_id="JobId",
        state="JobState",
        created="CreateTime",
        job_type="JobType",
        modified="ModifiedTime",
        user_data="UserData",
    ),
    states=(("Created", CREATED), ("Executing", EXECUTING), ("Finished", FINISHED), ("Failed", FAILED)),
    details=DetailsCall(
        action="GetSmartHandleJob",
        method="POST",
        job_id="JobId",
        state=("State",),
        error_code=("ErrorCode",),
        error_message=("ErrorMessage",),
        modified=("SmartJobInfo", "ModifiedTime"),
    ),
    job_types=("ASR", "DynamicChart", "VideoTranslation", "TextToSpeech"),
    alert_limits=(
        AlertLimits("ASR", stuck_seconds=2 * 3600, stalled_seconds=1800),
        AlertLimits("DynamicChart", stuck_seconds=2 * 3600, stalled_seconds=1800),
        AlertLimits("VideoTranslation", stuck_seconds=6 * 3600, stalled_seconds=2 * 3600),
        AlertLimits("TextToSpeech", stuck_seconds=3600, stalled_seconds=1800),
    ),
)
