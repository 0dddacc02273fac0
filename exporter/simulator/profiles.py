"""How the jobs of each type behave in the demo: births, slots, run times and reasons to fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why jobs fail; the larger its weight among its type's reasons, the more often."""

    code: str
    message: str
    weight: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The behaviour of one job type; run times are log-normal around the median."""

    job_type: str
    births_per_minute: float
    slots: int
    median_seconds: float
    spread: float
    failure_ratio: float
    reasons: tuple[Reason, ...]


_UNREADABLE = Reason("InputFile.DownloadFailed", "The input file cannot be read from the OSS bucket.", 3.0)
_INTERNAL = Reason("InternalError", "The job failed due to an internal error. Submit it again.", 1.0)
_TIMEOUT = Reason("JobTimeout", "The job did not finish within the time limit.", 1.0)

PROFILES = (
    Profile(
        "ASR",
        births_per_minute=8.0,
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
        births_per_minute=3.0,
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
        births_per_minute=0.8,
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
        births_per_minute=20.0,
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
"""The four documented job types; their error codes and messages are examples, not the service's own."""
