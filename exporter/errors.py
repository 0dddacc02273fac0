"""The errors of the exporter: one class for each decision that a caller makes.

ExporterError
├── ApiError                a call of the service failed; `reason` is the label of the failure in the metrics
│   ├── TransientError          retry soon
│   │   ├── ThrottledError          ... with a longer back-off
│   │   ├── TimedOutError           ... no answer within the timeout
│   │   ├── NetworkError            ... no connection
│   │   └── ServerError             ... an error of the service
│   ├── CredentialsError        no credentials, or the service refuses them: get new ones, or report it
│   ├── ForbiddenError          the permission is missing: report what to grant
│   ├── AccountUnusableError    the account may not use the service (payment, activation): report what to do there
│   ├── ClockSkewError          the clock of this machine is wrong: report it
│   ├── NotFoundError           the requested job does not exist
│   ├── BadRequestError         the service refuses this request: do not retry
│   │   └── TokenRefusedError       ... because the page token has expired: read the list from the start
│   └── BadResponseError        the answer is not in the documented format: do not retry, do not use it
├── LeadershipLostError     another process may be the leader: exit at once; after a restart this one is a standby
├── LedgerError             the ledger cannot be read or written
│   ├── LedgerBrokenError       ... permanently: this exporter cannot read the file
│   │   └── LedgerDamagedError      ... and `run` replaces it
│   └── LedgerInUseError        ... because another process writes to it
└── SettingsError           the configuration has problems: all of them together
"""

from __future__ import annotations

from typing import ClassVar


class ExporterError(Exception):
    """Base class of all errors of this package; `hint` says what to do."""

    reason: ClassVar[str] = "other"
    hint: str = ""


class ApiError(ExporterError):
    """A call of the service without a usable answer.

    `code` is the error code of the service, or one of this exporter if there is no answer (`Timeout`, `ConnectError`).
    """

    def __init__(self, message: str, *, code: str = "", request_id: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class TransientError(ApiError):
    """The same call can succeed soon."""


class ThrottledError(TransientError):
    """The rate limit of the account is exceeded."""

    reason = "throttled"
    hint = "lower max_requests_per_second, or ask Alibaba Cloud for a higher QPS quota"


class TimedOutError(TransientError):
    """No answer arrived within the request timeout."""

    reason = "timeout"
    hint = "check the network path to the endpoint, or raise request_timeout_seconds"


class NetworkError(TransientError):
    """The endpoint cannot be reached, or the connection was lost."""

    reason = "network"
    hint = "check the endpoint's name, DNS, the proxy and firewalls"


class ServerError(TransientError):
    """The service reports an error of its own."""

    reason = "server"
    hint = "the service is at fault; wait until it recovers"


class CredentialsError(ApiError):
    """There are no credentials, or the service refuses them."""

    reason = "auth"
    hint = "check the access key, its secret and the security token of this target"


class ForbiddenError(ApiError):
    """The credentials are valid, but lack the permission for this call."""

    reason = "forbidden"
    hint = "grant the permission to the RAM user or role; `check` prints the policy"

    def name_action(self, action: str) -> None:
        """Adds the missing permission to the hint."""
        self.hint = f"grant ice:{action} to the RAM user or role; `check` prints the policy"


class AccountUnusableError(ApiError):
    """The account itself may not use the service: a payment is overdue, or the service is not activated."""

    reason = "forbidden"
    hint = (
        "in the console of this account, pay what is overdue, and activate Intelligent Media Services in this region;"
        " no permission is missing"
    )


class ClockSkewError(ApiError):
    """The service refuses the timestamp of the request."""

    reason = "auth"
    hint = "set this machine's clock (NTP); the service accepts a difference of at most 15 minutes"


class NotFoundError(ApiError):
    """The requested job does not exist."""


class BadRequestError(ApiError):
    """The service refuses this request, and would refuse it again."""

    hint = "check region_id and endpoint; if they are right, this is a bug of the exporter: please report it"


class TokenRefusedError(BadRequestError):
    """The service refuses an expired page token."""

    hint = "nothing to do: the next poll reads the list from the start"


class BudgetExceededError(ApiError):
    """A poll or a survey read as much as it may without coming to an end."""

    hint = "the list is larger than the exporter reads in one poll, or it never ends; reduce lookback_days"


class BadResponseError(ApiError):
    """The answer is not in the documented format: corrupt, cut off, too large, or from another server."""

    reason = "parse"
    hint = "check that endpoint is the IMS endpoint and that no proxy answers in its place"


class LeadershipLostError(ExporterError):
    """This process is no longer the leader: it must end before another process starts to poll."""

    hint = "restart the exporter: it then is a standby; check that it can reach the Kubernetes API"


class LedgerError(ExporterError):
    """The ledger cannot be read or written."""

    reason = "ledger"
    hint = "check the disk and the permissions of ledger_path"


NO_LOCKS_HINT = (
    "the file system of ledger_path refuses locks or shared memory, as many network file systems do: put the ledger on"
    " a local disk or a block volume"
)


class LedgerBrokenError(LedgerError):
    """The file is not a ledger, or this exporter cannot read it."""

    hint = "restore a backup at ledger_path, or move the file away: then all counters start at zero again"


class LedgerDamagedError(LedgerBrokenError):
    """The file is damaged: `run` moves it away and creates a new ledger."""

    hint = "`run` replaces it with a new ledger: then all counters start at zero again; find out what damaged the file"


class LedgerInUseError(LedgerError):
    """Another process has written to the same target in the ledger."""

    hint = "stop the other exporter, or give each its own ledger_path"


class SettingsError(ExporterError):
    """The configuration has problems; the message lists them, one per line."""
