"""Auth by asking a backend: a real HTTP server that is right, wrong, late, huge or gone; and a fake one on a fake clock."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gatewayd.auth.http import HttpAuth
from gatewayd.config.auth import HttpConfig
from gatewayd.config.limits import AuthLimits
from gatewayd.config.values import Secret
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.sampled import Sampled
from gatewayd.webhook import signature
from gatewayd.webhook.post import client_for
from tests.backend.answers import Answer, backend, raw, say

CLAIM = Claim("user", "t0ken", "7", {"uhash": "x"})


@asynccontextmanager
async def asking(url: str, **more: Any) -> AsyncIterator[HttpAuth]:
    config = HttpConfig(kind="http", url=url, **more)
    auth = HttpAuth("app", config, client_for(url, config.max_connections), Sampled(trio.current_time))
    try:
        yield auth
    finally:
        await auth.aclose()


async def verdict(answer: Answer, **more: Any) -> Grant:
    with backend() as server:
        server.answer = answer
        async with asking(server.url, **more) as auth:
            return await auth.verify(CLAIM)


# --- a real server ----------------------------------------------------------------------------------------------


async def test_what_is_asked() -> None:
    with backend() as server:
        async with asking(server.url) as auth:
            assert await auth.verify(CLAIM, "pages", "dmod", "prod")
        question = server.question()
        assert len(question.pop("id")) == 32
        assert question == {
            "kind": "user",
            "token": "t0ken",
            "subject": "7",
            "listener": "pages",
            "protocol": "dmod",
            "realm": "prod",
            "extra": {"uhash": "x"},
        }
        said, _ = server.asked[0]
        assert said["content-type"] == "application/json"
        assert said["user-agent"] == "gatewayd"
        assert "x-gatewayd-signature" not in said


async def test_a_request_is_signed() -> None:
    with backend() as server:
        async with asking(server.url, secret=Secret("hush")) as auth:
            await auth.verify(CLAIM)
            await auth.verify(CLAIM)
        (said, body), (again, _) = server.asked
        now = float(said["x-gatewayd-timestamp"])
        assert signature.verify("hush", said["x-gatewayd-timestamp"], said["x-gatewayd-signature"], body, now=now)
        assert said["x-gatewayd-id"] != again["x-gatewayd-id"]


async def test_what_a_verdict_may_give() -> None:
    answer = {"allow": True, "channels": ["news", "user:7"], "metadata": {"plan": "gold"}, "expires_in": 60}
    assert await verdict(say(answer)) == Grant(
        granted=True, channels=("news", "user:7"), metadata={"plan": "gold"}, expires=60.0, ask_again=True
    )
    nothing = {"allow": True, "channels": None, "metadata": None, "expires_in": None, "reason": None}
    assert await verdict(say(nothing)) == Grant(granted=True, ask_again=True)
    assert (await verdict(say({"allow": True, "expires_in": 1e300}))).expires == AuthLimits().longest_expiry
    assert (
        await verdict(say(b'{"allow": true, "expires_in": ' + b"9" * 400 + b"}"))
    ).expires == AuthLimits().longest_expiry


REFUSED = Grant(granted=False, reason="refused by the backend")


@pytest.mark.parametrize(
    "answer",
    [
        say({"allow": False}),
        say({"allow": False, "reason": "no\nsuch user"}),
        say({"allow": False, "channels": ["x"], "expires_in": 5}),
        say(b"", 401),
        say(b"<html>", 403),
    ],
)
async def test_refusals(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert await verdict(answer, on_failure="allow") == REFUSED
    assert "\nsuch" not in caplog.text
    assert "t0ken" not in caplog.text


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (say({"allow": True}, 500), "wrong status"),
        (say(b"x" * 1_000_000, 500), "wrong status"),
        (say({"allow": True}, 201), "wrong status"),
        (say(b"", 404), "wrong status"),
        (say(b"", 302, Location="/elsewhere"), "wrong status"),
        (say(b"<!doctype html><p>Sorry", 200, Content_Type="text/html"), "not JSON"),
        (say(b""), "not JSON"),
        (say(b"\xff"), "not JSON"),
        (say(b'"\xff"'), "not JSON"),
        (say(b"[" * 60_000), "not JSON"),
        (say(b'{"allow": true, "expires_in": NaN}'), "not JSON"),
        (say(b"\x1f\x8b\x08\x00", 200, Content_Encoding="gzip"), "not JSON"),
        (say(b"x" * 10_000_000), "too large"),
        (say(b'{"allow": true}' + b" " * AuthLimits().answer_bytes), "too large"),
        (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b" " * 32768 + b"\r\n") * 300), "too large"),
        (say([]), "bad answer"),
        (say("yes"), "bad answer"),
        (say({}), "bad answer"),
        (say({"allow": "true"}), "bad answer"),
        (say({"allow": 1}), "bad answer"),
        (say({"allow": None}), "bad answer"),
        (say({"allow": True, "channels": "news"}), "bad answer"),
        (say({"allow": True, "channels": [7]}), "bad answer"),
        (say({"allow": True, "channels": [""]}), "bad answer"),
        (say({"allow": True, "metadata": []}), "bad answer"),
        (say({"allow": True, "expires_in": "60"}), "bad answer"),
        (say({"allow": True, "expires_in": True}), "bad answer"),
        (say({"allow": True, "expires_in": 0}), "bad answer"),
        (say({"allow": True, "expires_in": -1}), "bad answer"),
        (say({"allow": False, "reason": 5}), "bad answer"),
        (say(b'{"allow": true, "metadata": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}"), "bad answer"),
        (say({"allow": True, "expiresIn": 60}), "unknown fields"),
        (raw(b""), "broken answer"),
        (raw(b"SSH-2.0-OpenSSH\r\n"), "broken answer"),
        (raw(HEAD + b"Content-Length: 100\r\n\r\n{"), "broken answer"),
        (raw(HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n"), "broken answer"),
    ],
)
async def test_failures(answer: Answer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        refused = await verdict(answer)
    assert refused == Grant(granted=False, failure=name)
    assert f"auth app: the backend failed: {name}" in caplog.text
    assert "t0ken" not in caplog.text
    assert await verdict(answer, on_failure="allow", breaker_pause=7.0) == Grant(
        granted=True, failure=name, expires=7.0, ask_again=True
    )


async def test_a_backend_that_is_late() -> None:
    with backend() as server:
        server.hold.clear()
        async with asking(server.url, timeout=0.1) as auth:
            assert (await auth.verify(CLAIM)).failure == "timeout"
            server.hold.set()
            assert await auth.verify(CLAIM)


async def test_every_connection_is_given_back() -> None:
    bad = (
        say(b"x" * 1_000_000),
        say(b"x" * 1_000_000, 500),
        raw(b""),
        say(b"", 401),
        raw(HEAD + b"X: " + b"x" * 200_000),
    )
    with backend() as server:
        async with asking(server.url, max_connections=1, timeout=1.0, breaker_failures=100) as auth:
            for answer in bad * 2:
                server.answer = answer
                assert not await auth.verify(CLAIM)
            server.hold.clear()
            with trio.move_on_after(0.05):
                await auth.verify(CLAIM)
            server.hold.set()
            server.answer = say({"allow": True})
            assert await auth.verify(CLAIM)


async def test_a_backend_that_trickles() -> None:
    def trickle(handler: Any) -> None:
        handler.wfile.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        while not trickle_over.is_set():
            handler.wfile.write(b" ")
            trickle_over.wait(0.02)

    trickle_over = threading.Event()
    try:
        assert (await verdict(trickle, timeout=0.2)).failure == "timeout"
    finally:
        trickle_over.set()


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with asking(f"http://127.0.0.1:{port}/") as auth:
        assert (await auth.verify(CLAIM)).failure == "no connection"


async def test_a_name_that_does_not_exist() -> None:
    async with asking("http://nowhere.invalid/") as auth:
        assert (await auth.verify(CLAIM)).failure in ("no connection", "timeout")


async def test_a_tls_server_that_is_none() -> None:
    with backend() as server:
        async with asking(server.url.replace("http:", "https:")) as auth:
            assert (await auth.verify(CLAIM)).failure == "no connection"


async def test_a_backend_that_comes_back() -> None:
    """Stopped and started again on its port, with a connection kept alive before."""
    with backend() as server:
        async with asking(server.url, breaker_failures=100) as auth:
            assert await auth.verify(CLAIM)
            server.answer = raw(b"")
            assert (await auth.verify(CLAIM)).failure == "broken answer"
            server.answer = say({"allow": True})
            assert await auth.verify(CLAIM)


async def test_connections_are_kept_and_bounded() -> None:
    with backend() as server:
        server.hold.clear()
        async with asking(server.url, max_connections=2) as auth, trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(auth.verify, Claim("secret", str(number)))
            for _ in range(2):
                await trio.to_thread.run_sync(server.arrived.acquire)
            await wait_all_tasks_blocked()
            assert len(server.asked) == 2
            assert auth.status()["asking"] == 5
            server.hold.set()
        assert len(server.asked) == 5
        assert auth.status()["asking"] == 0


async def test_a_token_that_is_no_text_is_not_sent() -> None:
    with backend() as server:
        async with asking(server.url) as auth:
            assert await auth.verify(Claim("secret", "\ud800")) == Grant(granted=False, reason="not text")
        assert server.asked == []


# --- a fake one, on a fake clock --------------------------------------------------------------------------------


class Fake(httpx.AsyncBaseTransport):
    """Answers after `delay` seconds; each question is noted with its time."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.status = 200
        self.value: Any = {"allow": True}
        self.asked: list[tuple[float, str]] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        token = json.loads(await request.aread())["token"]
        self.asked.append((trio.current_time(), token))
        await trio.sleep(self.delay)
        return httpx.Response(self.status, stream=httpx.ByteStream(json.dumps(self.value).encode()))

    async def aclose(self) -> None:
        self.closed = True


def faked(**more: Any) -> tuple[HttpAuth, Fake]:
    fake = Fake()
    client = httpx.AsyncClient(transport=fake, timeout=None)
    return HttpAuth("app", HttpConfig(kind="http", url="http://app/", **more), client, Sampled(trio.current_time)), fake


async def several(auth: HttpAuth, *tokens: str) -> list[Grant]:
    """Verdicts on claims that are made at the same time."""
    verdicts: dict[int, Grant] = {}

    async def one(place: int, token: str) -> None:
        verdicts[place] = await auth.verify(Claim("secret", token))

    async with trio.open_nursery() as nursery:
        for place, token in enumerate(tokens):
            nursery.start_soon(one, place, token)
    return [verdicts[place] for place in range(len(tokens))]


async def test_the_timeout_is_for_all_of_it(autojump_clock: object) -> None:
    auth, fake = faked(timeout=2.0)
    fake.delay = 1.9
    assert await auth.verify(CLAIM)
    fake.delay = 2.1
    start = trio.current_time()
    assert (await auth.verify(CLAIM)).failure == "timeout"
    assert trio.current_time() - start == pytest.approx(2.0)


async def test_who_gets_no_connection_in_time_is_not_the_backends_fault(autojump_clock: object) -> None:
    auth, fake = faked(timeout=2.0, max_connections=1, breaker_failures=2)
    fake.delay = 1.5
    assert [grant.failure for grant in await several(auth, "a", "b", "c", "d")].count("busy") == 2
    assert auth.status()["breaker"] == {"open": False, "opened": 0}


async def test_identical_claims_are_one_request(autojump_clock: object) -> None:
    auth, fake = faked()
    fake.delay = 1.0
    assert all(await several(auth, *"aabaa"))
    assert sorted(token for _, token in fake.asked) == ["a", "b"]
    assert await auth.verify(Claim("secret", "a"))
    assert len(fake.asked) == 3


async def test_what_differs_in_anything_is_not_identical(autojump_clock: object) -> None:
    auth, fake = faked(cache_ttl=60.0)
    claims = [
        (Claim("secret", "a"), "x", "p"),
        (Claim("user", "a"), "x", "p"),
        (Claim("secret", "b"), "x", "p"),
        (Claim("secret", "a", "s"), "x", "p"),
        (Claim("secret", "a", None, {"e": 1}), "x", "p"),
        (Claim("secret", "a"), "y", "p"),
        (Claim("secret", "a"), "x", "q"),
    ]
    for _ in range(2):
        for claim, listener, protocol in claims:
            assert await auth.verify(claim, listener, protocol)
    assert len(fake.asked) == len(claims)


async def test_the_others_go_on_when_the_one_who_asked_leaves(autojump_clock: object) -> None:
    auth, fake = faked()
    fake.delay = 1.0
    got: list[Grant] = []

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            got.append(await auth.verify(CLAIM))

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(ask, scope)
            await wait_all_tasks_blocked()
        await trio.sleep(0.5)
        scopes[0].cancel()
    assert len(got) == 2
    assert [at - fake.asked[0][0] for at, _ in fake.asked] == [0.0, pytest.approx(0.5)]
    assert auth.status()["asking"] == 0


async def test_no_more_claims_than_may_wait(autojump_clock: object) -> None:
    auth, fake = faked(max_waiting=3)
    fake.delay = 1.0
    assert sorted(grant.failure for grant in await several(auth, *"abcde")) == ["", "", "", "busy", "busy"]
    assert len(fake.asked) == 3


async def test_verdicts_are_kept_for_a_while(autojump_clock: object) -> None:
    auth, fake = faked(cache_ttl=10.0, cache_size=2)
    for seconds in (0, 5, 4.9):
        await trio.sleep(seconds)
        assert await auth.verify(CLAIM)
    assert len(fake.asked) == 1
    await trio.sleep(0.1)
    fake.value = {"allow": False}
    for _ in range(3):
        assert not await auth.verify(CLAIM)
    assert len(fake.asked) == 2
    for token in "abc":
        await auth.verify(Claim("secret", token))
    assert auth.status()["cached"] == 2


async def test_a_kept_verdict_has_what_is_left_of_its_time(autojump_clock: object) -> None:
    auth, fake = faked(cache_ttl=10.0)
    fake.value = {"allow": True, "expires_in": 8}
    await auth.verify(CLAIM)
    await trio.sleep(3)
    assert (await auth.verify(CLAIM)).expires == pytest.approx(5.0)
    await trio.sleep(5)
    assert (await auth.verify(CLAIM)).expires == 8.0
    assert len(fake.asked) == 2


async def test_failures_are_not_kept(autojump_clock: object) -> None:
    auth, fake = faked(cache_ttl=10.0)
    fake.status = 500
    assert not await auth.verify(CLAIM)
    fake.status = 200
    assert await auth.verify(CLAIM)


async def test_no_token_is_a_key(autojump_clock: object) -> None:
    auth, fake = faked(cache_ttl=10.0)
    fake.delay = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(auth.verify, CLAIM)
        await wait_all_tasks_blocked()
        assert b"t0ken" not in b"".join(auth._asking)
    assert b"t0ken" not in b"".join(auth.cache._kept)


async def test_a_backend_that_keeps_failing_is_left_alone(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    auth, fake = faked(breaker_failures=3, breaker_pause=10.0)
    fake.status = 500
    failures = [(await auth.verify(Claim("secret", str(number)))).failure for number in range(5)]
    assert failures == ["wrong status"] * 3 + ["breaker open"] * 2
    assert auth.status()["breaker"] == {"open": True, "opened": 1}
    assert len(fake.asked) == 3
    assert "it is not asked for 10 s, and every claim is refused" in caplog.text
    await trio.sleep(10)
    fake.status, fake.delay = 200, 1.0
    assert [grant.failure for grant in await several(auth, *"abc")].count("breaker open") == 2
    assert all(await several(auth, *"abc"))
    assert auth.status()["breaker"] == {"open": False, "opened": 1}


async def test_with_an_open_breaker_everyone_may_be_allowed(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    auth, fake = faked(breaker_failures=1, breaker_pause=10.0, on_failure="allow")
    fake.status = 500
    assert await auth.verify(CLAIM)
    assert await auth.verify(CLAIM) == Grant(granted=True, failure="breaker open", expires=10.0, ask_again=True)
    assert "every claim is allowed" in caplog.text


async def test_a_trial_whose_asker_leaves_is_made_by_the_next(autojump_clock: object) -> None:
    auth, fake = faked(breaker_failures=1, breaker_pause=10.0)
    fake.status = 500
    await auth.verify(CLAIM)
    await trio.sleep(10)
    fake.status, fake.delay = 200, 1.0
    with trio.move_on_after(0.5):
        await auth.verify(CLAIM)
    assert await auth.verify(CLAIM)


async def test_the_client_is_closed_with_it() -> None:
    auth, fake = faked()
    await auth.aclose()
    assert fake.closed
