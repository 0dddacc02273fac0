"""Passwords are checked at the same cost for all, once for each that is right, and never on the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from exporter.web.passwords import MAX_WAITING, Passwords, TooManyChecksError, basic_credentials, matches
from tests.support.secured_server import HASH, PASSWORD

USERS = {"alice": "hash of a", "bob": "hash of b"}


class Checker:
    """Counts its checks, and says that a hash is that of the password `a` or `b`."""

    def __init__(self) -> None:
        self.checks: list[tuple[bytes, str]] = []
        self.threads: set[str] = set()

    def __call__(self, password: bytes, hashed: str) -> bool:
        """Checks a password."""
        self.checks.append((password, hashed))
        self.threads.add(threading.current_thread().name)
        return hashed == f"hash of {password.decode()}"


def results(checker: Checker, *asked: tuple[dict[str, str], str, bytes]) -> list[bool]:
    """Returns what is found of each, one after the other."""

    async def ask() -> list[bool]:
        passwords = Passwords(checker)
        found = [await passwords.are_right(*each) for each in asked]
        passwords.close()
        return found

    return asyncio.run(ask())


def test_a_right_password_is_checked_once() -> None:
    """The second scrape costs no bcrypt."""
    checker = Checker()

    found = results(checker, *[(USERS, "alice", b"a")] * 5, (USERS, "bob", b"b"), (USERS, "alice", b"a"))

    assert found == [True] * 7
    assert len(checker.checks) == 2


def test_checks_leave_the_loop_alone() -> None:
    """Checks run in a thread of their own."""
    checker = Checker()

    results(checker, (USERS, "alice", b"a"))

    assert checker.threads == {"bcrypt_0"}


def test_a_wrong_password_is_checked_each_time() -> None:
    """Neither a wrong password nor another user's is taken for one that is known, and a known one is not forgotten."""
    checker = Checker()

    found = results(
        checker, (USERS, "alice", b"a"), (USERS, "alice", b"x"), (USERS, "bob", b"a"), (USERS, "alice", b"a")
    )

    assert found == [True, False, False, True]
    assert len(checker.checks) == 3


def test_another_hash_ends_what_was_known() -> None:
    """After a change of the file the old password is good no longer, and a removed user is nobody."""
    checker = Checker()
    changed = {**USERS, "alice": "hash of n"}

    found = results(
        checker,
        (USERS, "alice", b"a"),
        (changed, "alice", b"a"),
        (changed, "alice", b"n"),
        ({"bob": "hash of b"}, "alice", b"n"),
    )

    assert found == [True, False, True, False]
    assert len(checker.checks) == 4


def test_unknown_users_cost_the_same() -> None:
    """A name that nobody has is held against some user's hash, always the same, and is refused even if that fits."""
    checker = Checker()

    found = results(checker, *[(USERS, f"nobody{number % 30}", b"a") for number in range(60)])

    assert found == [False] * 60
    assert len(checker.checks) == 60
    assert checker.checks[:30] == checker.checks[30:]
    assert {hashed for _, hashed in checker.checks} == set(USERS.values())


def test_a_flood_does_not_pile_up() -> None:
    """Beyond a few waiting checks more are refused, while known passwords still pass."""
    release = threading.Event()

    def slow(password: bytes, hashed: str) -> bool:
        return bool(password == b"a" and hashed) or not release.wait(10)

    async def flood() -> tuple[bool, list[object]]:
        passwords = Passwords(slow)
        await passwords.are_right(USERS, "alice", b"a")
        waiting = [asyncio.create_task(passwords.are_right(USERS, "alice", b"x%d" % n)) for n in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyChecksError):
            await passwords.are_right(USERS, "bob", b"b")
        known = await passwords.are_right(USERS, "alice", b"a")
        release.set()
        found: list[object] = list(await asyncio.gather(*waiting))
        passwords.close()
        return known, found

    assert asyncio.run(flood()) == (True, [False] * MAX_WAITING)


@pytest.mark.parametrize(
    ("password", "is_right"),
    [(PASSWORD.encode(), True), (b"", False), (b"correct horse\0", False), (b"\xff" * 500, False)],
)
def test_real_hashes(password: bytes, is_right: bool) -> None:  # noqa: FBT001 - a case of the table
    """The library tells right from wrong, and nothing that a client sends makes it fail."""
    assert matches(password, HASH) == is_right


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YWxpY2U6YTpi", ("alice", b"a:b")),
        ("basic  YWxpY2U6", ("alice", b"")),
        ("Basic gDr/", ("\udc80", b"\xff")),
        ("Basic YWxpY2U", None),
        ("Basic YWxp\u00e9", None),
        ("Digest YWxpY2U6YTpi", None),
        ("", None),
    ],
)
def test_basic_credentials(header: str, found: tuple[str, bytes] | None) -> None:
    """User and password are read off the header, bytes that are no text included."""
    assert basic_credentials(header) == found
