"""The REST forms that Discord's libraries ask before they connect, answered on the gateway's own port.

The path may name a version: `/api/v10/users/@me` and `/api/users/@me` are the same.

    GET /gateway                                   {url}
    GET /gateway/bot                               {url, shards, session_start_limit}
    GET /users/@me                                 the bot's user
    GET /applications/@me, /oauth2/applications/@me  its application

Law 1: nothing that a client sends raises anything here; a wrong token, path, version or method has its status.
Law 2: a document may say otherwise of everything but the id of a bot whose token names it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import Attribute, define, field, frozen, validators

from gatewayd.core.behaviour import Answer, Claim, Handshake
from gatewayd.core.close import Cause
from gatewayd.core.grant import Grant
from gatewayd.core.ports import Port
from gatewayd.core.session import Session
from gatewayd.protocols.discord_intents import bits
from gatewayd.protocols.rest import check_rest

IDENTIFY_SECONDS = 5.0
DAY = 86_400.0
UNKNOWN_BOT, UNKNOWN_OWNER = "1", "2"
"""Ids where nothing tells them; 0 would read as no id."""
FORMS = frozenset({"/gateway", "/gateway/bot", "/users/@me", "/applications/@me", "/oauth2/applications/@me"})

_PATH = re.compile(r"/api(?:/v([0-9]{1,4}))?(/.*)", re.DOTALL)
_OWN_TOKEN = re.compile(r"/api(?:/v[0-9]{1,4})?/(?:webhooks|interactions)/[^/]+/[^/]")
"""Paths, percent-encoded, that hold a token themselves: `/webhooks/<id>/<token>`."""
_SNOWFLAKE = re.compile(r"0|[1-9][0-9]{0,18}")
_HEAD = re.compile(r"[A-Za-z0-9_-]{2,26}")
"""A snowflake in base64: up to 19 digits."""


def _check_gateway(instance: object, attribute: Attribute[str], value: str) -> None:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0 and value.isprintable()
    except ValueError:  # a port that is no number, brackets that do not close
        fine = False
    if value and (not fine or "@" in parts.netloc or " " in value):
        raise ValueError('expected a URL such as "wss://gateway.example.org"')
    if "?" in value or "#" in value:
        raise ValueError("libraries append their own query; leave out what begins with ? or #")


def _check_bot(instance: object, attribute: Attribute[Any], value: object) -> None:
    bot = value.get("id", "") if isinstance(value, dict) else value
    if bot != "" and _snowflake(bot) is None:
        raise ValueError("expected a bot's id in quotes, or a table with fields of its user")


@frozen(kw_only=True)
class Options:
    """Options of a discord listener: first what the forms read."""

    rest: str = field(default="", validator=check_rest)
    """URL of the server that answers all other REST calls to this port. Without it they are answered with 404."""
    rest_max_body: int = field(default=10 * 1024 * 1024, validator=validators.gt(0))
    """Bytes of the largest body of a REST call that is forwarded."""
    documents: str = ""
    """Prefix of the documents `bot`, `application` and `gateway`."""
    bot: Any = field(default="", validator=_check_bot)
    """The id of a bot whose token does not tell it, or a table with fields of every bot's user."""
    resume_url: str = field(default="", validator=_check_gateway)
    """URL of the gateway that clients are told. Without it, the one by which the client came."""
    max_concurrency: int = field(default=16, validator=validators.gt(0))
    """Identifies of one bot in 5 seconds."""
    session_starts: int = field(default=1000, validator=validators.gt(0))
    """Identifies of one bot in a day."""

    intents: Mapping[str, Any] = field(factory=dict, validator=lambda _, __, value: [*map(bits, value.values())])
    """Events of one's own, and the intents of which one lets them pass: a number, or names."""
    disallowed_intents: Any = field(default=0, validator=lambda _, __, value: bits(value))
    """Who identifies with one of these is refused with 4014: a number, or names."""
    message_content: Literal["always", "intent"] = "always"
    """Whether bots without the intent MESSAGE_CONTENT see what others write."""
    payload_compression: bool = False
    """Whether `compress: true` in an identify has an effect, where the transport is not compressed."""
    compress_level: int = field(default=0, validator=[validators.ge(0), validators.le(9)])
    """Of everything that is compressed: 1 is the fastest, 9 makes the least; 0 is 6 for zlib and 1 for zstd."""
    window_bits: int = field(default=12, validator=[validators.ge(9), validators.le(15)])
    """Of a compressed stream: 12 takes 32 KB for each client (zstd: 76), 15, Discord's own, 256 KB (zstd: 181)."""


def bot_id(token: str) -> str | None:
    """The bot's id, where the token has Discord's shape: the part before the first dot is its base64."""
    head, dot, _ = token.partition(".")
    if not dot or not _HEAD.fullmatch(head):
        return None
    try:
        return _snowflake(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError):
        return None


def _snowflake(value: object) -> str | None:
    """An id as text; None for what is none."""
    text = str(value) if type(value) is int and 0 <= value < 1 << 63 else value
    return text if isinstance(text, str) and _SNOWFLAKE.fullmatch(text) else None


def owner_of(token: str, grant: Grant) -> str:
    """Whose sessions those of a token are: of the one that auth knows, of the bot that it names, or its own."""
    return grant.subject or bot_id(token) or "token:" + sha256(token.encode(errors="surrogatepass")).hexdigest()


@define
class _Started:
    """The identifies of one owner: how many since its day began, and when the last few were."""

    day: float
    last: deque[float]
    count: int = 0


class Starts:
    """How often each bot may identify. It keeps `most` owners, and none whose last start was a day ago."""

    def __init__(self, max_concurrency: int, session_starts: int, most: int = 10_000) -> None:
        self.max_concurrency = max_concurrency
        self.session_starts = session_starts
        self._most = most
        self._owners: OrderedDict[str, _Started] = OrderedDict()  # by their last start

    def __len__(self) -> int:
        return len(self._owners)

    def allow(self, owner: str, now: float) -> bool:
        """Count an identify; False where it is one too many, which is not counted."""
        while self._owners and now - next(iter(self._owners.values())).last[-1] >= DAY:
            self._owners.popitem(last=False)
        started = self._owners.get(owner) or _Started(now, deque(maxlen=self.max_concurrency))
        if now - started.day >= DAY:
            started.day, started.count = now, 0
        last = started.last
        if (len(last) == last.maxlen and now - last[0] < IDENTIFY_SECONDS) or started.count >= self.session_starts:
            return False
        last.append(now)
        started.count += 1
        self._owners[owner] = started
        self._owners.move_to_end(owner)
        if len(self._owners) > self._most:
            self._owners.popitem(last=False)
        return True

    def limit(self, owner: str, now: float) -> dict[str, int]:
        """What `/gateway/bot` shows of it; `reset_after` in ms, 0 while nothing was started."""
        started = self._owners.get(owner)
        left = 0.0 if started is None else max(0.0, started.day + DAY - now)
        used = started.count if started is not None and left else 0
        return {
            "total": self.session_starts,
            "remaining": self.session_starts - used,
            "reset_after": round(left * 1000),
            "max_concurrency": self.max_concurrency,
        }


@define(eq=False)
class Forms:
    """What one listener says of its bots: made from its options, and the documents of its realm."""

    _port: Port
    _options: Options
    starts: Starts = field(init=False)
    """All listeners of the realm count together; the first of them says how many there may be."""

    @starts.default
    def _starts(self) -> Starts:
        most = self._options.max_concurrency, self._options.session_starts
        starts: Starts = self._port.shared("discord.starts", lambda: Starts(*most))
        return starts

    def url(self, came: str) -> str:
        """Where clients are told to connect: libraries append `?` and their query to it. `came`: how this one did."""
        return (self._options.resume_url or came).rstrip("/")

    def bot(self, token: str, grant: Grant) -> str:
        """The bot's id: as its token has it, as auth knows it, or as document or option tell."""
        return bot_id(token) or _snowflake(grant.subject) or _snowflake(self._told().get("id")) or UNKNOWN_BOT

    def user(self, bot: str) -> dict[str, Any]:
        """A bot's own user, as READY and `/users/@me` have it."""
        return {**_user(bot, "bot"), "bot": True, **self._told(), **self._document(f"bot:{bot}"), "id": bot}

    def application(self, user: Mapping[str, Any]) -> dict[str, Any]:
        """The application of a bot; READY has `id` and `flags` of it."""
        told = self._document("application") | self._document(f"application:{user['id']}")
        owner = told.get("owner")
        return {
            "name": user["username"], "description": "", "icon": None, "bot_public": True,
            "bot_require_code_grant": False, "verify_key": "0" * 64, "flags": 0, "team": None,
            "approximate_guild_count": 0, "approximate_user_install_count": 0, "bot": user, **told,
            "id": _snowflake(told.get("id")) or user["id"],
            "owner": _user(UNKNOWN_OWNER, "owner") | (owner if isinstance(owner, dict) else {}),
        }  # fmt: skip

    def ready(self, session: Session, url: str) -> dict[str, Any]:
        """The data of READY; `url` is where the session is resumed."""
        shard, user = session.metadata["shard"], self.user(session.metadata["bot"])
        application = self.application(user)
        return {
            "v": 10, "user": user, "guilds": [], "session_id": session.id, "session_type": "normal",
            "resume_gateway_url": url, "application": {name: application[name] for name in ("id", "flags")},
            **({} if shard is None else {"shard": shard}),
        }  # fmt: skip

    def _told(self) -> dict[str, Any]:
        """What is told of every bot."""
        told = self._options.bot if isinstance(self._options.bot, dict) else {"id": self._options.bot}
        return told | self._document("bot")

    def _document(self, name: str) -> dict[str, Any]:
        value = self._port.documents.get(self._options.documents + name)
        return value if isinstance(value, dict) else {}

    async def answer(self, request: Handshake) -> Answer | None:
        """The answer to a request that is no upgrade; None to forward it to `options.rest`."""
        found = _PATH.fullmatch(request.path)
        version, path = found.groups() if found is not None else (None, "")
        forwards = bool(self._options.rest)
        if forwards and _OWN_TOKEN.match(request.raw_path):
            return None
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        token = secret.strip() if scheme.lower() in ("bot", "bearer") else None
        reads = request.method in ("GET", "HEAD")
        grant = Grant(granted=True)
        if path != "/gateway" or not reads:
            grant = await self._port.verify(Claim("secret", token, bot_id(token or "")), request.address)
            if not grant and grant.failure:
                return _refusal(502, Cause.BACKEND_FAILED)  # not 503: libraries try this one again
            if not grant:
                return _refusal(401, Cause.AUTH_FAILED)
        if forwards and not (path in FORMS and reads):
            return None
        if version not in (None, "10"):
            return Answer(400, {"message": "Invalid API version", "code": 50041}, Cause.WRONG_VERSION)
        if path not in FORMS:
            return _refusal(404, Cause.NOT_ALLOWED)
        if not reads:
            return _refusal(405, Cause.NOT_ALLOWED)
        gateway = {"url": self.url(request.url)}
        if path == "/gateway":
            return Answer(200, gateway)
        if path == "/gateway/bot":
            shards = self._document("gateway").get("shards")
            shards = shards if type(shards) is int and shards > 0 else 1
            limit = self.starts.limit(owner_of(token or "", grant), self._port.now())
            return Answer(200, {**gateway, "shards": shards, "session_start_limit": limit})
        user = self.user(self.bot(token or "", grant))
        return Answer(200, user if path == "/users/@me" else self.application(user))


def _user(user: str, name: str) -> dict[str, Any]:
    return {
        "id": user, "username": name, "discriminator": "0000", "global_name": None, "avatar": None, "bot": False,
        "flags": 0, "public_flags": 0, "mfa_enabled": False, "verified": True,
    }  # fmt: skip


def _refusal(status: int, cause: Cause) -> Answer:
    return Answer(status, {"message": f"{status}: {HTTPStatus(status).phrase}", "code": 0}, cause)
