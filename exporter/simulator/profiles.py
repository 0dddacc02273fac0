"""How the simulated jobs of each kind and type behave, and the fields of answers that the exporter does not read.

A job kind without a profile is served from its declaration alone; its store stays empty in the demo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.simulator.job_store import wire_time

if TYPE_CHECKING:
    from exporter.jobs.kinds import JobKind
    from exporter.simulator.job_store import Job

USER_ID = 1084506228000000
BUCKET = "demo-media"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for failures; its share among the reasons of its type is in proportion to its weight."""

    code: str
    message: str
    weight: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The behaviour of one job type; at most `slots` jobs run at once, with log-normal run times around the median."""

    job_type: str
    jobs_per_minute: float
    slots: int
    median_seconds: float
    spread: float
    failure_ratio: float
    reasons: tuple[Reason, ...]


_UNREADABLE = Reason("InputFile.DownloadFailed", "The input file cannot be read from the OSS bucket.", 3.0)
_INTERNAL = Reason("InternalError", "The job failed due to an internal error. Submit it again.", 1.0)
_TIMEOUT = Reason("JobTimeout", "The job did not finish within the time limit.", 1.0)

_SMART = (
    Profile(
        "ASR",
        jobs_per_minute=8.0,
        slots=8,
        median_seconds=35.0,
        spread=0.7,
        failure_ratio=0.03,
        reasons=(
            _UNREADABLE,
            Reason("InputFile.NoAudioTrack", "The input file has no audio track.", 2.0),
            Reason("InputFile.UnsupportedFormat", "The format of the input file is not supported.", 1.5),
            _INTERNAL,
        ),
    ),
    Profile(
        "DynamicChart",
        jobs_per_minute=3.0,
        slots=3,
        median_seconds=25.0,
        spread=0.5,
        failure_ratio=0.02,
        reasons=(
            Reason("EditingConfig.Invalid", "The chart data is not a valid table.", 3.0),
            Reason("OutputConfig.AccessDenied", "The output bucket refuses to be written.", 1.0),
            _INTERNAL,
        ),
    ),
    Profile(
        "VideoTranslation",
        jobs_per_minute=0.8,
        slots=5,
        median_seconds=200.0,
        spread=0.6,
        failure_ratio=0.06,
        reasons=(
            _UNREADABLE,
            Reason("Speech.LanguageNotSupported", "The spoken language is not supported.", 2.0),
            Reason("Video.DurationExceeded", "The video is longer than the limit.", 1.0),
            _TIMEOUT,
        ),
    ),
    Profile(
        "TextToSpeech",
        jobs_per_minute=20.0,
        slots=4,
        median_seconds=8.0,
        spread=0.5,
        failure_ratio=0.01,
        reasons=(
            Reason("Text.LengthExceeded", "The text is longer than the limit.", 3.0),
            Reason("Voice.NotFound", "The specified voice does not exist.", 2.0),
            _INTERNAL,
        ),
    ),
)

PROFILES: dict[str, tuple[Profile, ...]] = {"smart": _SMART}
"""Profiles by job kind, one for each type; error codes and messages are examples, not those of the service."""


def extra_fields(kind: JobKind, job: Job) -> dict[str, Any]:
    """Returns fields of a list item that the exporter does not read."""
    if kind.name != "smart":
        return {}
    return {
        "Title": job.title,
        "Description": "",
        "UserId": USER_ID,
        "EditingConfig": '{"AudioConfig":{},"InputConfig":""}',
        "InputConfig": {"InputFile": f"oss://{BUCKET}/in/{job.job_id}", "Keyword": ""},
        "OutputConfig": {"Bucket": BUCKET, "Object": f"out/{job.job_id}"},
    }


def extra_details(kind: JobKind, job: Job) -> dict[str, Any]:
    """Returns fields of the answer of the details call that the exporter does not read."""
    if kind.name != "smart":
        return {}
    return {
        "UserData": "",
        "Output": "",
        "SmartJobInfo": {
            "Title": job.title,
            "Description": "",
            "UserId": str(USER_ID),
            "JobType": job.job_type,
            "CreateTime": wire_time(job.created_at),
            "InputConfig": {"InputFile": f"oss://{BUCKET}/in/{job.job_id}"},
            "OutputConfig": {"Bucket": BUCKET, "Object": f"out/{job.job_id}"},
        },
    }
