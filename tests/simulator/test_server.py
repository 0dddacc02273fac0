"""The simulated endpoint answers signed calls over HTTP as the service does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from exporter.simulator.authentication import Call, Key, sign_call
from exporter.simulator.habits import Habits
from exporter.simulator.job_store import Account
from exporter.simulator.server import DEMO_KEY, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

NOW = 1_700_000_000.0
TEMPORARY = Key("STS.id", "secret", token="token")
LISTS_ONLY = Key("lists-only", "secret", actions=frozenset({"ListSmartJobs"}))

JSON = dict[str, Any]


class Caller:
    """Signs calls of one simulator and sends them byte by byte."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session
        self.nonce = 0

    async def call(
        self,
        parameters: dict[str, str],
        *,
        key: Key = DEMO_KEY,
        action: str = "ListSmartJobs",
        method: str = "GET",
    ) -> tuple[int, JSON]:
        """Returns HTTP status and JSON of the answer."""
        self.nonce += 1
        return await self.send(
            sign_call(
                key,
                self.simulator.endpoint,
                parameters,
                nonce=str(self.nonce),
                at=NOW,
                action=action,
                method=method,
            )
        )

    async def send(self, call: Call) -> tuple[int, JSON]:
        """Sends a call as it is."""
        url = URL(f"{self.simulator.url}{call.path}?{call.query}", encoded=True)
        async with self.session.request(call.method, url, headers=call.headers, data=call.body) as answer:
            return answer.status, await answer.json()


def with_simulator(
    scenario: Callable[[Caller], Coroutine[None, None, None]], simulator: Simulator | None = None
) -> None:
    """Runs a scenario against a simulator whose clock stands still."""

    async def run() -> None:
        endpoint = simulator or Simulator(now=lambda: NOW, keys=[DEMO_KEY, TEMPORARY, LISTS_ONLY])
        async with endpoint, aiohttp.ClientSession() as session:
            await scenario(Caller(endpoint, session))

    asyncio.run(run())


def ids(answer: JSON) -> list[str]:
    """Returns the job ids of a page."""
    return [item["JobId"] for item in answer["SmartJobList"]]


def test_the_bytes_on_the_wire_are_verified() -> None:
    """A call passes as signed, once; the same value in other bytes is refused in the documented shape."""

    async def scenario(caller: Caller) -> None:
        call = sign_call(DEMO_KEY, caller.simulator.endpoint, {"SortBy": "CreationTime:Asc"}, nonce="n", at=NOW)

        refused = await caller.send(replace(call, query="SortBy=CreationTime:Asc"))
        passed = await caller.send(call)
        again = await caller.send(call)

        assert (refused[0], refused[1]["Code"]) == (400, "SignatureDoesNotMatch")
        assert set(refused[1]) == {"RequestId", "HostId", "Code", "Message", "Recommend"}
        assert passed[0] == 200
        assert again[1]["Code"] == "SignatureNonceUsed"
        assert caller.simulator.calls == {"ListSmartJobs": 3}
        assert caller.simulator.outcomes["ListSmartJobs", "OK"] == 1

    with_simulator(scenario)


def test_the_clock_can_be_off() -> None:
    """A service whose clock is more than 15 minutes ahead refuses, and shows its time in the Date header."""

    async def scenario(caller: Caller) -> None:
        caller.simulator.clock_offset = 901.0

        _, refused = await caller.call({})
        async with caller.session.get(caller.simulator.url) as answer:
            date = answer.headers["Date"]

        assert refused["Code"] == "InvalidTimeStamp.Expired"
        assert date == "Tue, 14 Nov 2023 22:28:21 GMT"

    with_simulator(scenario)


def test_permissions_are_per_action() -> None:
    """A key that may list but not read single jobs is told so with 403."""

    async def scenario(caller: Caller) -> None:
        listed, _ = await caller.call({}, key=LISTS_ONLY)
        read = await caller.call({"JobId": "1"}, key=LISTS_ONLY, action="GetSmartHandleJob", method="POST")

        assert listed == 200
        assert (read[0], read[1]["Code"]) == (403, "NoPermission")

    with_simulator(scenario)


def test_pages_by_token() -> None:
    """MaxResults and NextToken lead through the list, newest first, and the last page has no token."""

    async def scenario(caller: Caller) -> None:
        made = [caller.simulator.jobs.create("ASR") for _ in range(25)]

        first = (await caller.call({}))[1]
        second = (await caller.call({"NextToken": first["NextToken"]}))[1]
        third = (await caller.call({"NextToken": second["NextToken"]}))[1]

        assert ids(first) + ids(second) + ids(third) == made[::-1]
        assert (third["NextToken"], third["MaxResults"]) == ("", "10")
        assert "TotalCount" not in third

    with_simulator(scenario)


def test_pages_by_number() -> None:
    """PageNo and PageSize lead through the same list, and beyond its end there is nothing."""

    async def scenario(caller: Caller) -> None:
        made = [caller.simulator.jobs.create("ASR") for _ in range(7)]

        pages = [await caller.call({"PageNo": str(number), "PageSize": "3"}) for number in (1, 2, 3, 4)]

        assert [ids(answer) for _, answer in pages] == [made[:3:-1], made[3:0:-1], made[:1], []]

    with_simulator(scenario)


def test_filters_and_order() -> None:
    """Type and state filter, SortBy turns the order, TotalCount is a string that comes when switched on."""

    async def scenario(caller: Caller) -> None:
        store = caller.simulator.jobs
        made = [store.create("ASR", state="Failed") for _ in range(3)]
        store.create("ASR")
        store.create("Novel", state="Failed")
        caller.simulator.total_count = True
        wanted = {"JobType": "ASR", "JobState": "Failed", "SortBy": "CreationTime:Asc"}

        _, filtered = await caller.call(wanted)
        _, novel = await caller.call({"JobType": "Novel"})

        assert (ids(filtered), filtered["TotalCount"]) == (made, "3")
        assert novel["TotalCount"] == "1"
        assert caller.simulator.lists == {("ASR", "Failed"): 1, ("Novel", None): 1}

    with_simulator(scenario)


@pytest.mark.parametrize(
    "parameters",
    [
        {"MaxResults": "0"},
        {"MaxResults": "101"},
        {"PageSize": "101"},
        {"PageNo": "0"},
        {"PageNo": "x"},
        {"SortBy": "Title"},
        {"JobType": "Nonsense"},
        {"JobState": "Nonsense"},
        {"NextToken": "bad"},
        {"NextToken": "AAAAAAAAAAAAAAAAAAAAAA=="},
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, str]) -> None:
    """Values out of range, unknown filters and forged tokens are invalid parameters."""

    async def scenario(caller: Caller) -> None:
        status, answer = await caller.call(parameters)

        assert status == 400
        assert answer["Code"].startswith("InvalidParameter")

    with_simulator(scenario)


def test_a_token_is_good_for_its_list_only() -> None:
    """A NextToken of one filter is refused with another."""

    async def scenario(caller: Caller) -> None:
        for _ in range(3):
            caller.simulator.jobs.create("ASR")
        _, first = await caller.call({"MaxResults": "1"})

        _, answer = await caller.call({"NextToken": first["NextToken"], "JobType": "ASR"})

        assert answer["Code"] == "InvalidParameter.NextToken"

    with_simulator(scenario)


def test_list_items_are_shaped_as_documented() -> None:
    """A row has the documented fields and whole-second UTC times."""

    async def scenario(caller: Caller) -> None:
        job_id = caller.simulator.jobs.create("ASR", title="Grüße ~+&=", created_at=1608955870.9)

        _, answer = await caller.call({})

        (item,) = answer["SmartJobList"]
        assert set(item) == {
            "JobId",
            "Title",
            "Description",
            "UserId",
            "JobType",
            "EditingConfig",
            "UserData",
            "JobState",
            "CreateTime",
            "ModifiedTime",
            "InputConfig",
            "OutputConfig",
        }
        assert (item["JobId"], item["Title"]) == (job_id, "Grüße ~+&=")
        assert item["CreateTime"] == item["ModifiedTime"] == "2020-12-26T04:11:10Z"

    with_simulator(scenario)


def test_details_tell_why_a_job_failed() -> None:
    """GetSmartHandleJob answers by POST, with an error for failed jobs only, and 404 for unknown ones."""

    async def scenario(caller: Caller) -> None:
        store = caller.simulator.jobs
        failed = store.create("ASR", state="Failed", error=("Code", "Message"))
        finished = store.create("ASR", state="Finished")

        answers = [
            await caller.call({"JobId": job_id}, action="GetSmartHandleJob", method="POST")
            for job_id in (failed, finished, "nobody")
        ]

        assert answers[0][1]["ErrorCode"] == "Code"
        assert answers[0][1]["ErrorMessage"] == "Message"
        assert answers[0][1]["SmartJobInfo"]["JobType"] == "ASR"
        assert "ErrorCode" not in answers[1][1]
        assert (answers[2][0], answers[2][1]["Code"]) == (404, "JobNotFound")

    with_simulator(scenario)


def test_keys_have_their_accounts() -> None:
    """A key with an account of its own sees only its jobs; the other keys share one account."""
    other = Account(lambda: NOW)
    simulator = Simulator(now=lambda: NOW, keys=[DEMO_KEY, TEMPORARY, LISTS_ONLY], accounts={"STS.id": other})

    async def scenario(caller: Caller) -> None:
        shared, own = simulator.jobs.create("ASR"), other.jobs.create("ASR", job_id="own")

        answers = [await caller.call({}, key=key) for key in (DEMO_KEY, LISTS_ONLY, TEMPORARY)]

        assert [ids(answer) for _, answer in answers] == [[shared], [shared], [own]]

    with_simulator(scenario, simulator)


def test_keys_can_be_rotated() -> None:
    """A key that is replaced while the simulator runs counts at once."""

    async def scenario(caller: Caller) -> None:
        caller.simulator.keys["STS.id"] = Key("STS.id", "secret", token="next")

        statuses = [(await caller.call({}, key=key))[0] for key in (TEMPORARY, caller.simulator.keys["STS.id"])]

        assert statuses == [400, 200]

    with_simulator(scenario)


def test_habits_show_on_the_wire() -> None:
    """Broken rows, empty answers, other words and missing errors reach the caller as a real service sends them."""
    habits = Habits(null_row_ids=("one",), row_without_id_ids=("two",), get_words={"Failed": "Fail"})

    async def scenario(caller: Caller) -> None:
        for job_id in ("one", "two", "three"):
            caller.simulator.jobs.create("ASR", job_id=job_id, created_at=NOW - 60)
        caller.simulator.jobs.move("three", "Failed", error=("Code", "Message"))

        _, listed = await caller.call({})
        _, failed = await caller.call({"JobId": "three"}, action="GetSmartHandleJob")
        caller.simulator.set_habits(Habits(error_late_seconds=30))
        _, without_error = await caller.call({"JobId": "three"}, action="GetSmartHandleJob")
        caller.simulator.set_habits(Habits(empty_probability=1, get_missing_probability=1))
        empty_status, empty = await caller.call({"MaxResults": "1"})
        missing_status, missing = await caller.call({"JobId": "three"}, action="GetSmartHandleJob")

        assert [item and item.get("JobId") for item in listed["SmartJobList"]] == ["three", None, None]
        assert [item and item["JobState"] for item in listed["SmartJobList"]] == ["Failed", "Created", None]
        assert (failed["State"], failed["ErrorCode"]) == ("Fail", "Code")
        assert (without_error["State"], without_error.get("ErrorCode")) == ("Failed", None)
        assert (empty_status, empty["SmartJobList"], empty["NextToken"]) == (200, [], "")
        assert (missing_status, missing["Code"]) == (404, "JobNotFound")

    with_simulator(scenario, Simulator(now=lambda: NOW, habits=habits))
