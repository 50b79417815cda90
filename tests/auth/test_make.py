"""Verdicts counted under a name, refusals logged without their tokens, and an auth for every kind."""

from __future__ import annotations

import logging

import pytest
import trio

from gatewayd.auth.auth import Auth, Counted
from gatewayd.auth.http import HttpAuth
from gatewayd.auth.jwt import JwtAuth
from gatewayd.auth.make import closing, make
from gatewayd.auth.static import OpenAuth, StaticAuth
from gatewayd.config.auth import HttpConfig, JwtConfig, OpenConfig, StaticConfig
from gatewayd.config.keys import Key
from gatewayd.config.values import Secret
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.sampled import Sampled
from tests.tokens import SECRET, token


class Judge(Auth):
    def __init__(self) -> None:
        self.grant = Grant(granted=True)
        self.closed = False

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        return self.grant

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


async def test_verdicts_are_counted_by_reason(caplog: pytest.LogCaptureFixture) -> None:
    judge = Judge()
    auth = Counted("fleet", "jwt", judge, Sampled(trio.current_time))
    claim = Claim("user", "t0ken", "seven\n" + "x" * 100)
    with caplog.at_level(logging.INFO):
        for grant in (
            Grant(granted=True),
            Grant(granted=False, reason="expired"),
            Grant(granted=False, reason="expired"),
            Grant(granted=False, reason="wrong signature"),
            Grant(granted=False, failure="timeout"),
            Grant(granted=True, failure="breaker open"),
        ):
            judge.grant = grant
            assert await auth.verify(claim, "pages", "dmod") is grant
    assert auth.status() == {
        "kind": "jwt",
        "granted": 1,
        "refused": {"expired": 2, "wrong signature": 1},
        "failed": {"timeout": 1, "breaker open": 1},
    }
    assert [record.getMessage().partition(" subject=")[0] for record in caplog.records] == [
        "auth fleet: refused listener=pages kind=user"
    ] * 4
    assert "reason=timeout" in caplog.text
    assert "t0ken" not in caplog.text
    assert "seven\\nxxx" in caplog.text
    await auth.aclose()
    assert judge.closed


async def test_an_auth_holds_nothing_unless_it_says_so() -> None:
    await OpenAuth().aclose()
    assert OpenAuth().status() == {}


async def test_all_are_closed_even_when_cancelled() -> None:
    judges = {name: Judge() for name in "ab"}
    with trio.CancelScope() as scope:
        async with closing(judges, 2.0):
            scope.cancel()
            await trio.sleep_forever()
    assert all(judge.closed for judge in judges.values())


async def test_an_auth_for_every_kind() -> None:
    assert isinstance(make("a", OpenConfig(kind="open"), Sampled(trio.current_time)).auth, OpenAuth)
    static = make(
        "b",
        StaticConfig(kind="static", secrets=(Secret("s"),), users={"u": Secret("t")}, guilds={"g": Secret("h")}),
        Sampled(trio.current_time),
    )
    assert isinstance(static.auth, StaticAuth)
    assert await static.verify(Claim("secret", "s"))
    assert await static.verify(Claim("user", "t", "u"))
    assert await static.verify(Claim("guild", "h", "g"))
    assert not await static.verify(Claim("guild", "h", "u"))
    assert not await static.verify(Claim("secret", "h"))
    assert static.status() == {
        "kind": "static", "granted": 3, "refused": {"wrong token": 1, "wrong secret": 1}, "failed": {},
    }  # fmt: skip
    jwt = make(
        "c", JwtConfig(kind="jwt", key_file="k", keys=(Key("HS256", SECRET.encode()),)), Sampled(trio.current_time)
    )
    assert isinstance(jwt.auth, JwtAuth)
    assert await jwt.verify(Claim("secret", token()))
    http = make("d", HttpConfig(kind="http", url="http://127.0.0.1:1/"), Sampled(trio.current_time))
    assert isinstance(http.auth, HttpAuth)
    assert http.status() == {
        "kind": "http", "granted": 0, "refused": {}, "failed": {},
        "breaker": {"open": False, "opened": 0}, "cached": 0, "asking": 0,
    }  # fmt: skip
    await http.aclose()
