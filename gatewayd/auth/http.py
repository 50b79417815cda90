"""Auth by asking: the claim goes to a backend in a POST, and its answer is the verdict.

Law 1: whatever the backend does, there is a verdict within the timeout; what went wrong has one of the names below.
Law 2: identical claims that are made at the same time are one request; tokens are kept as long as it lasts, and no key
of a table tells them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import httpx
import msgspec
import trio
from attrs import define, field

from gatewayd.auth.attributes import BadAttributes, channels, metadata
from gatewayd.auth.auth import Auth
from gatewayd.auth.breaker import Breaker
from gatewayd.auth.cache import Verdicts
from gatewayd.config.auth import HttpConfig
from gatewayd.config.limits import AuthLimits
from gatewayd.core.depth import TOO_DEEP, too_deep
from gatewayd.core.grant import Claim, Grant
from gatewayd.core.sampled import Sampled
from gatewayd.core.text import printable
from gatewayd.webhook.post import Broken, Post, Unreachable

log = logging.getLogger("gatewayd.auth")

Payload = Mapping[str, object]

FIELDS: Mapping[str, tuple[type, ...]] = {
    "allow": (bool,),
    "channels": (list, type(None)),
    "metadata": (dict, type(None)),
    "expires_in": (int, float, type(None)),
    "reason": (str, type(None)),
}
DENIED = (401, 403)
REFUSED = "refused by the backend"
NO_TEXT = "not text"


class Failure(Exception):
    """The backend gave no verdict; the first argument is the name that is counted, the second says more."""

    def __str__(self) -> str:
        return ": ".join(str(text) for text in self.args if text)


@define(eq=False)
class _Asking:
    """A request under way, and who else waits for it. `grant` stays None when its asker left."""

    done: trio.Event = field(factory=trio.Event)
    grant: Grant | None = None


class HttpAuth(Auth):
    """Asks the backend of one [auth.NAME]. The client is closed with it; `wall` gives seconds since the epoch."""

    def __init__(
        self, name: str, config: HttpConfig, client: httpx.AsyncClient, lines: Sampled, *,
        limits: AuthLimits = AuthLimits(), wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.name = name
        self._lines = lines
        self.breaker = Breaker(config.breaker_failures, config.breaker_pause)
        self.cache = Verdicts(config.cache_size, config.cache_ttl)
        self._config = config
        self._limits = limits
        secret = None if config.secret is None else config.secret.reveal()
        self._post = Post(client, config.url, secret, most=limits.answer_bytes, wall=wall)
        self._asking: dict[bytes, _Asking] = {}
        self._slots = trio.CapacityLimiter(config.max_connections)
        self._salt = os.urandom(32)

    async def verify(self, claim: Claim, listener: str = "", protocol: str = "", realm: str = "") -> Grant:
        """The backend's verdict, a recent one, or what stands for one where it fails."""
        payload = _payload(claim, listener, protocol, realm)
        try:
            key = blake2b(msgspec.json.encode(payload), key=self._salt).digest()
        except UnicodeEncodeError:
            return Grant(granted=False, reason=NO_TEXT)
        while True:
            known = self.cache.get(key, trio.current_time())
            if known is not None:
                return known
            asking = self._asking.get(key)
            if asking is None:
                return await self._lead(key, payload)
            await asking.done.wait()
            if asking.grant is not None:
                return asking.grant

    async def _lead(self, key: bytes, payload: Payload) -> Grant:
        """Ask for everybody who has the same claim."""
        if len(self._asking) >= self._config.max_waiting:
            return self._failed(Failure("busy"))
        asking = self._asking[key] = _Asking()
        try:
            asking.grant = await self._try(key, payload)
            return asking.grant
        finally:
            del self._asking[key]
            asking.done.set()

    async def _try(self, key: bytes, payload: Payload) -> Grant:
        breaker = self.breaker
        if not breaker.enter(trio.current_time()):
            return self._failed(Failure("breaker open"))
        try:
            grant = await self._ask(payload)
        except Failure as failure:
            if failure.args[0] == "busy":
                breaker.left()
            else:
                self._count(failure)
            return self._failed(failure)
        except BaseException:  # cancelled, or a fault of ours: no word about the backend
            breaker.left()
            raise
        breaker.succeeded()
        self.cache.put(key, grant, trio.current_time())
        return grant

    def _count(self, failure: Failure) -> None:
        why = printable(str(failure))
        text = "auth %s: the backend failed: %s"
        self._lines.log(log, logging.WARNING, text, self.name, why, kind=failure.args[0])
        if self.breaker.failed(trio.current_time()):
            log.warning(
                "auth %s: it is not asked for %g s, and every claim is %s",
                self.name, self._config.breaker_pause, "allowed" if self._allows else "refused",
            )  # fmt: skip

    @property
    def _allows(self) -> bool:
        return self._config.on_failure == "allow"

    def _failed(self, failure: Failure) -> Grant:
        """The verdict without a judge. What is allowed so is asked about when the backend may be back."""
        again = self._config.breaker_pause if self._allows else None
        return Grant(granted=self._allows, failure=failure.args[0], expires=again, ask_again=self._allows)

    # --- one request ----------------------------------------------------------------------------------------

    async def _ask(self, payload: Payload) -> Grant:
        """One request. Raises `Failure`."""
        name = "busy"  # until it is its turn
        with trio.move_on_after(self._config.timeout):
            async with self._slots:
                name = "timeout"
                try:
                    return _verdict(*await self._post.send(payload), self._lines, self._limits)
                except Unreachable as error:
                    raise Failure("no connection", str(error)) from None
                except Broken as error:
                    raise Failure("broken answer", str(error)) from None
        raise Failure(name)

    def status(self) -> Mapping[str, Any]:
        """The breaker, and how full the tables are."""
        return {
            "breaker": {"open": self.breaker.is_open(trio.current_time()), "opened": self.breaker.opened},
            "cached": len(self.cache),
            "asking": len(self._asking),
        }

    async def aclose(self) -> None:
        """Close the connections."""
        await self._post.aclose()


def _payload(claim: Claim, listener: str, protocol: str, realm: str) -> Payload:
    return {
        "kind": claim.kind,
        "token": claim.token,
        "subject": claim.subject,
        "listener": listener,
        "protocol": protocol,
        "realm": realm,
        "extra": claim.extra,
    }


def _verdict(status: int, body: bytes, lines: Sampled, limits: AuthLimits) -> Grant:
    """What an answer means. Raises `Failure` where it means nothing."""
    if status in DENIED:
        return Grant(granted=False, reason=REFUSED)
    if status != 200:
        raise Failure("wrong status", str(status))
    if len(body) > limits.answer_bytes:
        raise Failure("too large", f"more than {limits.answer_bytes} bytes")
    answer = _parsed(body)
    if not answer["allow"]:
        if answer.get("reason"):
            lines.log(log, logging.INFO, "the backend refuses: %s", printable(answer["reason"]))
        return Grant(granted=False, reason=REFUSED)
    try:
        given = channels(answer.get("channels"), limits), metadata(answer.get("metadata"), limits)
    except BadAttributes as error:
        raise Failure("bad answer", str(error)) from None
    expires = answer.get("expires_in")
    return Grant(
        granted=True,
        channels=given[0],
        metadata=given[1],
        expires=None if expires is None else float(min(expires, limits.longest_expiry)),
        ask_again=True,
    )


def _parsed(body: bytes) -> dict[str, Any]:
    """The fields of an answer. One that nobody reads is a failure: a misspelt `expires_in` must not pass unseen."""
    if too_deep(body):
        raise Failure("bad answer", TOO_DEEP)
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Failure("not JSON") from None
    if not isinstance(answer, dict):
        raise Failure("bad answer", "it must be an object")
    unknown = [name for name in answer if name not in FIELDS]
    if unknown:
        raise Failure("unknown fields", ", ".join(unknown))
    wrong = [name for name, kinds in FIELDS.items() if name in answer and type(answer[name]) not in kinds]
    if wrong or "allow" not in answer:
        raise Failure("bad answer", f"{', '.join(wrong)} of the wrong type" if wrong else "it has no allow")
    if answer.get("expires_in") is not None and answer["expires_in"] <= 0:
        raise Failure("bad answer", "expires_in must be more than 0")
    return answer
