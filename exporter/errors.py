"""The exporter's errors, one class for each decision a caller makes.

ExporterError
├── ApiError                what a call of the service ended in; `reason` is its label in the metrics
│   ├── TransientError          try again soon
│   │   ├── ThrottledError          ... and more slowly
│   │   ├── TimedOutError           ... no answer in time
│   │   ├── NetworkError            ... no answer at all
│   │   └── ServerError             ... the service failed
│   ├── CredentialsError        the key, token or signature is refused: get fresh credentials, or tell the operator
│   ├── ForbiddenError          the key is good, the permission is missing: tell the operator what to grant
│   ├── ClockSkewError          this machine's clock is off: tell the operator
│   ├── NotFoundError           the one job asked for is not there
│   ├── BadRequestError         the service does not take this request: do not repeat it
│   │   └── TokenRefusedError       ... because the list has been left for too long
│   └── BadResponseError        the answer is not what the service documents: do not repeat it, do not trust it
├── LeadershipLostError     another process may be the leader: end at once; started again, this one is a standby
├── LedgerError             the ledger cannot be read or written
│   ├── LedgerBrokenError       ... for good: the file is none that this exporter can read
│   │   └── LedgerDamagedError      ... and a new one is begun
│   └── LedgerInUseError        ... by this process, as another one writes to it
└── SettingsError           the configuration is wrong: all its problems at once
"""

from __future__ import annotations

from typing import ClassVar


class ExporterError(Exception):
    """Any error that this package raises on purpose."""

    reason: ClassVar[str] = "other"
    hint: ClassVar[str] = ""


class ApiError(ExporterError):
    """A call of the service that gave no usable answer.

    `code` is the service's own error code, or one of ours where there is no answer (`Timeout`, `ConnectError`, ...).
    """

    def __init__(self, message: str, *, code: str = "", request_id: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class TransientError(ApiError):
    """The same call may well succeed soon."""


class ThrottledError(TransientError):
    """The account's rate limit is used up."""

    reason = "throttled"
    hint = "lower max_requests_per_second, or ask Alibaba Cloud for a higher QPS quota"


class TimedOutError(TransientError):
    """No answer came within the request timeout."""

    reason = "timeout"
    hint = "check the network path to the endpoint, or raise request_timeout_seconds"


class NetworkError(TransientError):
    """The endpoint cannot be reached, or the connection broke."""

    reason = "network"
    hint = "check the endpoint's name, DNS, the proxy and firewalls"


class ServerError(TransientError):
    """The service failed on its side."""

    reason = "server"
    hint = "the service is at fault; nothing to do here but wait"


class CredentialsError(ApiError):
    """No credentials are to be had, or the service refuses them."""

    reason = "auth"
    hint = "check the access key, its secret and the security token of this target"


class ForbiddenError(ApiError):
    """The credentials are good, but not allowed to make this call."""

    reason = "forbidden"
    hint = "grant ice:ListSmartJobs to the RAM user or role; `check` prints the policy"


class ClockSkewError(ApiError):
    """The service refuses the time stamp of the request."""

    reason = "auth"
    hint = "set this machine's clock (NTP); the service takes at most 15 minutes of difference"


class NotFoundError(ApiError):
    """The one thing asked for does not exist."""


class BadRequestError(ApiError):
    """The service does not take this request, and would not take it again."""

    hint = "check region_id and endpoint; if they are right, this is a fault of the exporter"


class TokenRefusedError(BadRequestError):
    """The service does not take a NextToken any more."""

    hint = "nothing to do: the next poll reads the list from its top"


class BadResponseError(ApiError):
    """The answer is not the documented one: garbled, cut, too large, or from somebody else."""

    reason = "parse"
    hint = "check that endpoint is the IMS endpoint and that no proxy answers in its place"


class LeadershipLostError(ExporterError):
    """This process is no longer the leader: it must end before another process starts to poll."""

    hint = "restart the exporter: it then is a standby; check that it can reach the Kubernetes API"


class LedgerError(ExporterError):
    """The ledger cannot be read or written."""

    reason = "ledger"
    hint = "check the disk and the permissions of ledger_path"


class LedgerBrokenError(LedgerError):
    """What is in the file is no ledger, or none that this exporter can read."""

    hint = "put a copy back at ledger_path, or move that file away: then counters begin anew, and past ends are history"


class LedgerDamagedError(LedgerBrokenError):
    """The file was a ledger once, or is garbage: it is moved aside, and a new one begun."""

    hint = "`run` begins a new one: counters begin anew, and past ends are history; find out what damaged the file"


class LedgerInUseError(LedgerError):
    """Another process has written to the same target's part of the ledger."""

    hint = "stop the other exporter, or give each its own ledger_path"


class SettingsError(ExporterError):
    """The configuration is wrong; the message lists every problem, one a line."""
