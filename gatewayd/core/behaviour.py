"""What a protocol does, as against how it looks: the class to fill in.

A behaviour serves one listener. It decides; the wire translates; hub, journal and backend stand behind `Port`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
from attrs import frozen

from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.connection import Connection
from gatewayd.core.counts import Counts as Counts
from gatewayd.core.encode import TEXT
from gatewayd.core.events import BeatAck, Command, Heartbeat, Identify, Reply
from gatewayd.core.grant import Claim as Claim
from gatewayd.core.grant import Grant as Grant
from gatewayd.core.ports import NO_REPLY, Port, Resource
from gatewayd.core.retention import UNTIL_WRITTEN, Policy
from gatewayd.core.session import Session


class Clash(Enum):
    """What happens when an identity arrives whose session still has a living client."""

    REPLACE = "replace"
    """The newcomer takes the session over; the older client is told that it was replaced."""
    BESIDE = "beside"
    """The newcomer starts a session of its own; only a detached session is taken over."""
    REFUSE = "refuse"
    """The older client is asked for a sign of life: if it gives one, the newcomer is refused."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What a behaviour decided about an identify.

    `identity` is None for a client that cannot resume. `label` is what people see; `channels` are subscribed
    besides `session:<id>` and `listener:<name>`; `variant` is how everything from Ready on is encoded.
    """

    identity: str | None
    clash: Clash = Clash.REPLACE
    channels: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = {}
    label: str | None = None
    variant: str = TEXT
    grant: Grant | None = None
    """What auth gave to the claim, where it gave one; the hub carries it out."""
    cursor: int | None = None
    """The sequence up to which the client says that it has all events; it goes on behind that."""


class Handshake(msgspec.Struct, frozen=True):
    """What a behaviour may see of a request; header names are lower-case, the query is decoded."""

    path: str = "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    address: str | None = None  # by which wrong keys are counted, where they are
    method: str = "GET"
    url: str = ""
    """Where the client came to: `ws://` or `wss://` and the host, without path or query."""
    raw_path: str = "/"
    """The path as it was sent, percent-encoded: one server reads `%2f` as a slash, and another does not."""


@frozen
class Answer:
    """The answer to a request that is no upgrade: `body` is sent as JSON."""

    status: int
    body: Any
    cause: Cause | None = None
    """Why the request was refused, where it was: it is counted and logged under this name."""


class Unpublishable(Exception):
    """An event that the protocol behind its channel has no way to say."""


class EventTooBig(Unpublishable):
    """An event that no outbox of a listener that hears it could ever hold; `limit` is that outbox's bytes."""

    def __init__(self, size: int, limit: int, listener: str) -> None:
        super().__init__(f"a frame of {size} bytes does not fit an outbox of {listener}, which holds {limit}")
        self.limit = limit


Options = TypeVar("Options")


class Behaviour(Generic[Options]):
    """One protocol's decisions for one listener. Override what the protocol has; the rest does nothing."""

    prefixes: tuple[str, ...] = ()
    """Kinds of channel that speak this protocol ("room" for `room:42`): `check` and `published` see their events."""
    hears_all: Mapping[str, str] = {}
    """Wide channels, by the kind of channel of which their sessions hear all without subscribing, where `hears` lets
    them: {"guild": "bot:all"}."""
    uses: tuple[Resource, ...] = ()
    """What its listeners use of what a realm keeps: where somebody names no realm, theirs is meant."""
    own: tuple[str, ...] = ()
    """Names in a session's metadata that the protocol itself sets and relies on; no grant may set them."""
    policy: Policy = UNTIL_WRITTEN
    """What is kept of a session's events beyond what is not written."""
    plain: bool = False
    """Requests that are no upgrades are taken as well: `admit_plain` answers or forwards them."""

    def __init__(self, listener: str, options: Options, port: Port, interval: float) -> None:
        self.listener = listener
        self.options = options
        self.port = port
        self.interval = interval

    async def admit(self, handshake: Handshake) -> Identify | None:
        """Judge the request before the upgrade: raise `Refused` for an HTTP status, `Disconnect` to refuse in band.
        An `Identify` is the request's own claim: identified right after hello, unless it is `only_proof`.
        """

    async def admit_plain(self, handshake: Handshake) -> Answer | None:
        """Answer a request that is no upgrade, or let it be forwarded (None); raise `Refused` for an HTTP status."""

    def hello(self) -> Mapping[str, Any]:
        """The protocol's own fields of hello, beside the interval."""
        return {}

    def greeting(self, connection: Connection, handshake: Handshake) -> None:
        """Right before hello: set what the request chose for this client, and note what has to be known of it later.
        A codec makes the frame of hello too; a variant holds for what comes behind that.
        """

    async def identify(self, connection: Connection, identify: Identify) -> Admission:
        """Say who this is, or raise `Disconnect`."""
        raise NotImplementedError

    def ready(self, session: Session, *, resumed: bool) -> Any:
        """The data of Ready, once the session is known and subscribed."""
        return None

    def entered(self, session: Session, *, resumed: bool) -> None:
        """The session hears its channels, and all that it missed has been said."""

    async def command(self, connection: Connection, session: Session | None, command: Command) -> None:
        """Answer a command; `session` is None before identify (queries only)."""
        raise Disconnect(Cause.NOT_ALLOWED)

    def heartbeat(self, connection: Connection, session: Session, beat: Heartbeat) -> None:
        """A sign of life came; what came with it may be kept or refused with `Disconnect`."""

    def check(self, channel: str, name: str, data: Any) -> None:
        """Raise `Unpublishable` for an event that this protocol cannot say on that channel."""

    def delivers_one(self, channel: str, name: str) -> bool:
        """Whether exactly one subscriber should get this event."""
        return False

    def hears(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
        """Which subscribers should get this event: what is asked for each of them; None is all."""
        return None

    def published(self, channel: str, name: str, data: Any) -> None:
        """After a backend's event is in every outbox: its effects."""

    def concerns(self, channel: str, name: str, data: Any) -> bool:
        """Whether an event has effects in this realm, even where nobody hears its channel."""
        return False

    def lasts(self, channel: str, name: str, data: Any) -> bool:
        """Whether an event leaves something behind where nobody hears it and it concerns nothing yet."""
        return False

    def detached(self, session: Session) -> None:
        """The session has lost its client and waits."""

    def says(self, name: str) -> bool:
        """Whether the protocol can say an event of this name at all; sessions of one that cannot do not hear it."""
        return True

    def service_types(self) -> tuple[str, ...]:
        """Types of service that are known though nobody of them is there."""
        return ()

    def service(self, session: Session) -> Mapping[str, Any] | None:
        """What a service has told of itself: its `type`, figures, lists; None for a session that is no service."""
        return None

    def keep(self, session: Session) -> Any:
        """What the protocol remembers of a session, as JSON can say it: for the journal."""
        return session.data

    def restore(self, session: Session, kept: Any) -> None:
        """The session comes back from the journal; `kept` is what `keep` gave, perhaps by an older version."""
        session.data = kept

    def ended(self, session: Session) -> None:
        """The session is over; give back what it held."""

    def reply(self, connection: Connection, command: Command, data: Any) -> None:
        """Answer a command."""
        connection.send(Reply(command, data), self.port.now())

    async def forward(self, connection: Connection, session: Session, command: Command) -> None:
        """Let the backend answer a command. Raises `NoBackend`, `BackendFailed`."""

        def reply(data: Any) -> None:
            if data is not NO_REPLY:
                self.reply(connection, command, data)

        await self.port.ask(session, command, reply)

    def acknowledge(self, connection: Connection, beat: Heartbeat) -> None:
        """Answer a heartbeat."""
        connection.send(BeatAck(beat.data), connection.last_heard)  # this moment, without another look at the clock
