"""Why a client ends: one value that is raised, sent, logged, counted and shown.

Law 1: every end has exactly one `Cause`; a protocol says in one table what each cause looks like on its wire.
Law 2: `Disconnect` is the client's fault or an operator's will. A bug of ours is any other exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Self

from attrs import define, field, frozen

MAX_REASON_BYTES = 123
"""What is left for words in a close frame (RFC 6455 §5.5: 125 bytes, less two for the code)."""


class AnyCause(Enum):
    """Why a client, and perhaps its session, ended. The value is the slug in logs, metrics and the admin API; `words`
    are used where nothing more exact is known; `detaches` says whether the session stays for its resume window.

    A protocol that knows others than `Cause` has a subclass of its own, and says in its table how they end.
    """

    words: str
    detaches: bool

    def __new__(cls, slug: str, words: str, detaches: bool = False) -> Self:  # noqa: FBT001, FBT002, RUF100
        member = object.__new__(cls)
        member._value_ = slug
        member.words = words
        member.detaches = detaches
        return member


class Cause(AnyCause):
    """Those that every protocol knows."""

    NOT_IDENTIFIED = ("not_identified", "not identified")
    AUTH_FAILED = ("auth_failed", "authentication failed")
    NOT_JUDGED = ("not_judged", "nobody can judge the login now: try again")
    ALREADY_IDENTIFIED = ("already_identified", "already identified")
    NO_OPCODE = ("no_opcode", "no opcode")
    UNKNOWN_OPCODE = ("unknown_opcode", "unknown or wrong opcode")
    NOT_JSON = ("not_json", "payload is not JSON text")
    INVALID_PAYLOAD = ("invalid_payload", "invalid payload")
    NOT_ALLOWED = ("not_allowed", "not allowed to send this")
    HEARTBEAT_MISSED = ("heartbeat_missed", "heartbeat missed", True)
    IDENTIFY_TIMEOUT = ("identify_timeout", "identify came too late")
    WRONG_VERSION = ("wrong_version", "wrong gateway version")
    IDENTITY_IN_USE = ("identity_in_use", "identity is in use")
    REPLACED = ("replaced", "replaced by a newer connection", True)
    KICKED = ("kicked", "kicked")
    ROOM_CLOSED = ("room_closed", "room closed")
    RATE_LIMITED = ("rate_limited", "rate limited")
    INVALID_SEQUENCE = ("invalid_sequence", "a sequence that was never given")
    SLOW_CONSUMER = ("slow_consumer", "slow consumer", True)
    ORIGIN_REFUSED = ("origin_refused", "origin refused")
    TOO_BIG = ("too_big", "message too big")
    PROTOCOL_ERROR = ("protocol_error", "WebSocket protocol error")
    INVALID_TEXT = ("invalid_text", "text is not valid UTF-8")
    FLOOD = ("flood", "too many frames")
    SHUTDOWN = ("shutdown", "server is shutting down", True)
    INTERNAL = ("internal", "fault of the server")
    BACKEND_FAILED = ("backend_failed", "the backend did not answer", True)  # not the client's fault: it may come back
    # The rest is never sent: there is nobody left to send it to.
    CLIENT_CLOSED = ("client_closed", "closed by the client")
    CLIENT_LEFT = ("client_left", "closed by the client, to come back", True)
    PEER_GONE = ("peer_gone", "connection lost", True)
    EXPIRED = ("expired", "resume window passed")
    NODE_DOWN = ("node_down", "the node went down", True)


NEVER_SENT = frozenset({Cause.CLIENT_CLOSED, Cause.CLIENT_LEFT, Cause.PEER_GONE, Cause.EXPIRED, Cause.NODE_DOWN})


@define(eq=False)
class Disconnect(Exception):
    """A verdict on one client or session: its cause, and the words for this one case.

    `errors` and `data` are parallel lists: each error, and the value that it speaks of. `said` is the client's
    message that led here, where there is one, so that a protocol can answer it by name.
    """

    cause: AnyCause
    reason: str = ""
    errors: tuple[str, ...] = field(kw_only=True, default=())
    data: tuple[Any, ...] = field(kw_only=True, default=(), repr=False)
    said: Mapping[str, Any] | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self.reason = self.reason or self.cause.words

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.reason}"


@define(eq=False)
class Refused(Exception):
    """A handshake that is answered with an HTTP status instead of an upgrade, and a sentence that says why."""

    status: int
    reason: str
    cause: Cause


@frozen
class Ending:
    """One cell of a protocol's causes table.

    `code` is the WebSocket close code; None keeps the client. `reason` is fixed text, or "" for the verdict's
    own words. `payload` builds what is said first (or alone, when the client stays).
    """

    code: int | None
    reason: str = ""
    payload: Callable[[Disconnect], object] | None = None
    words: tuple[str, ...] = ()
    """Words of a verdict that are said as they are, instead of `reason`."""

    def reason_for(self, verdict: Disconnect) -> str:
        """The reason in the close frame, cut to what that can carry."""
        reason = verdict.reason if verdict.reason in self.words else self.reason or verdict.reason
        return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")  # never cut inside a character


LIKE: Mapping[AnyCause, AnyCause] = {Cause.NOT_JUDGED: Cause.AUTH_FAILED}
"""How a cause ends where a protocol does not tell it from another."""

COMMON_ENDINGS: Mapping[AnyCause, Ending] = {
    Cause.TOO_BIG: Ending(1009),
    Cause.SHUTDOWN: Ending(1001),
    Cause.INTERNAL: Ending(1011),
    Cause.BACKEND_FAILED: Ending(1011),
    Cause.PROTOCOL_ERROR: Ending(1002),
    Cause.INVALID_TEXT: Ending(1007),
    Cause.FLOOD: Ending(1008),
    Cause.INVALID_SEQUENCE: Ending(1008),
}
"""What every protocol says alike, unless its own table has the cause."""
