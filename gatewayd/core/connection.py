"""One client's side of the talk: state, outbox, signs of life and the verdict that ends it. No clock, no socket.

Law 1: once a client is judged, `alive_until` only ever moves later. A heartbeat writes one number; no timer is reset.
Law 2: the first verdict stands.
Law 3: whatever is said passes `send` or `deliver`, whatever is heard passes `receive`.
Law 4: while we act on a message we do not listen, so that time is no silence of the client's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from gatewayd.core import events as e
from gatewayd.core.close import Cause, Disconnect
from gatewayd.core.codec import Codec
from gatewayd.core.encode import TEXT, ZLIB, encode
from gatewayd.core.frame import frame as framed
from gatewayd.core.machine import ENDED, IDENTIFIED, State, step
from gatewayd.core.outbox import Outbox, nobody
from gatewayd.core.quota import Quota
from gatewayd.core.settings import Settings
from gatewayd.core.wire import SHARED, Wire, loads


class Pings:
    """The client's WebSocket pings, which its WebSocket answers by itself, whatever its program does. These are of a
    client without a socket: nothing answers.
    """

    __slots__ = ()

    def ping(self, told: Callable[[], None]) -> None:
        """Ask for a pong; `told` is called when it comes: all that was said before the ping has arrived."""

    async def alive(self, within: float) -> bool:
        """Whether the client answers a ping within so many seconds."""
        return False


NO_PINGS = Pings()


class Connection:
    """One client. `stop` is called when a verdict was passed from outside; wrong keys are counted by `address`."""

    __slots__ = (
        "_answered_at", "_asked_at", "_broken", "_busy_since", "_frames", "_looked_at", "_marked", "_next_beat",
        "_number", "_owed", "_own", "_probed_at", "_quota", "_stop", "_unanswered", "address", "beats", "codec",
        "identify_by", "last_heard", "last_life", "latency", "note", "opened", "outbox", "pings", "received", "said",
        "session", "settings", "state", "variant", "verdict", "wire",
    )  # fmt: skip

    def __init__(
        self, wire: Wire, settings: Settings, now: float, address: str | None = None, *, outbox: Outbox | None = None
    ) -> None:
        self.wire = wire
        self.address = address
        self.settings = settings
        self.outbox = Outbox(settings) if outbox is None else outbox  # an empty one is false
        self.state = State.OPENED
        self.session: object = None
        """Whose client this is; `session_of` tells the hub. What is said here needs no more than the backlog."""
        self.verdict: Disconnect | None = None
        self.said: Mapping[str, Any] | None = None  # the message being acted on, for answers that name it
        self._stop: Callable[[], None] = nobody
        self.pings = NO_PINGS
        self.opened = self.last_heard = self.last_life = now
        self.identify_by = self._next_beat = math.inf
        self.beats = self.received = 0
        self.latency: float | None = None
        # Beats that the client has to answer: how many it has not, the newest sequence before the one that is
        # followed, and how many answers that one is away; 0 while none is followed.
        self._unanswered = self._marked = self._owed = 0
        self._asked_at = -math.inf
        self._probed_at = -math.inf
        self._busy_since: float | None = None
        self._looked_at = self._answered_at = -math.inf
        self._quota: Quota | None = Quota(
            settings.unidentified_messages, settings.rate_limit
        )  # None where messages have no bound: after identify, without a rate
        self.note: Any = None
        """What its protocol keeps of this client."""
        self.codec: Codec | None = None
        self._broken = False  # a frame of the codec's was not sent: whatever it makes now cannot be read
        self.speak(TEXT)

    def speak(self, variant: str, codec: Codec | None = None) -> None:
        """From here on everything is encoded in this variant, by the client's own codec where it has one."""
        self.variant = variant
        self.codec = codec or self.codec
        self._own = self.wire.own(self.codec)
        self._frames = self.wire.key(variant, own=self._own)
        self._number = self.wire.number if self.codec is None and variant != ZLIB else None

    def serve(self, stop: Callable[[], None], pings: Pings) -> None:
        """The tasks that serve this client are there; `stop` ends them."""
        self._stop, self.pings = stop, pings

    # --- what we say ----------------------------------------------------------------------------------------

    def send(self, event: e.ServerEvent, now: float) -> None:
        """Say one thing. Raises `Disconnect(SLOW_CONSUMER)` when the outbox is full, `IllegalMove` for our bugs."""
        self.state = step(self.state, type(event))
        frame = self.wire.encode(event, self.variant, self.codec)
        if frame is not None and not self.outbox.push(frame, now):
            raise self._overrun()

    def welcome(self, ready: e.Ready, now: float) -> None:
        """Answer the identify. What was missed stands in it, so it is free of the bounds, as a replay is."""
        self.state = step(self.state, e.Ready)
        frame = self.wire.encode(ready, self.variant, self.codec)
        if frame is not None:
            self.outbox.push(frame, now, free=True)

    def replay(self, sequence: int, event: e.Event, now: float) -> None:
        """Say the next event of the backlog that is not written; it is bounded there, and by nothing else."""
        self.state = step(self.state, e.Event)
        self.outbox.replay(self.wire.frame(event, self.variant, sequence, self.codec), sequence, now)

    def deliver(self, event: e.Event, now: float) -> bool:
        """Say an event to a client that is `open`. False: it is not, or has no room: then it has its verdict now."""
        if self.verdict is not None or self.state not in IDENTIFIED:
            return False
        outbox = self.outbox
        frame = event.frames.get(self._frames) or self.wire.make(event, self.variant, own=self._own)
        if self._own:
            if self._number is not None:
                frame = framed(self._number % (outbox.given + 1) + frame)
            else:
                frame = self.wire.finish(frame, self.variant, outbox.given + 1, self.codec)
        if outbox.give(frame, event, now):
            return True
        self.overrun()
        return False

    def cut(self) -> None:
        """The session goes on without this client: nothing more of its events is written to it."""
        stream = self.codec is not None and self.codec.stream
        if self.outbox.cut(stream=stream):
            self._broken = stream

    def overrun(self) -> None:
        """It has more to read than it may have: that is its verdict."""
        self.end(self._overrun())

    def _overrun(self) -> Disconnect:
        self._broken = self.codec is not None and self.codec.stream
        return Disconnect(Cause.SLOW_CONSUMER, f"more than {len(self.outbox)} frames are waiting to be read")

    def greet(self, now: float, extra: Mapping[str, Any] | None = None) -> None:
        """Say hello, in no variant yet; the deadlines start here."""
        variant, self.variant = self.variant, TEXT
        self.send(e.Hello(self.settings.interval, extra or {}), now)
        self.variant = variant
        self.last_life = self._looked_at = now
        if self.settings.identify_timeout is not None:
            self.identify_by = now + self.settings.identify_timeout
        if self.wire.beats:
            self._next_beat = now + self.wire.beats_every(self.settings.interval)

    # --- what we hear ---------------------------------------------------------------------------------------

    def receive(self, message: str | bytes, now: float) -> e.ClientEvent | None:
        """One client message as a legal event; None when the talk is over. Raises `Disconnect`."""
        if self.state in ENDED:
            return None
        wire = self.wire
        self.received += 1
        self.last_heard = now
        if wire.any_message_is_life:
            self.last_life = now
        self.said = None
        try:
            self.said = loads(message, binary=wire.binary)
            event = wire.decode(self.said)
        except Disconnect:
            self._count(None, now)  # a protocol may forgive it
            said = self.said
            if said is not None and self.state not in IDENTIFIED and not wire.may_precede_identify(said):
                raise Disconnect(Cause.NOT_IDENTIFIED) from None
            raise
        if self._quota is not None:
            self._count(event, now)
        kind = type(event)
        self.state = step(self.state, kind)
        if kind is e.Heartbeat or kind is e.Ping:
            self.last_life = now
            self.beats += 1
            if wire.answers_beats:
                self._answered_beat()
            if type(event) is e.Heartbeat and event.seen is not None:
                self._acknowledge(event.seen)
            if self._probed_at != -math.inf:
                self.latency = now - self._probed_at
                self._probed_at = -math.inf
        return event

    def answer(self, now: float) -> None:
        """Show a client that asks that we are alive."""
        if now >= self._answered_at + self.settings.answers_apart:
            self._answered_at = now
            self.send(e.Beat(), now)

    def _answered_beat(self) -> None:
        """A beat is answered: the oldest that it can be for, so that it never proves too much."""
        if not self._unanswered:
            return
        self._unanswered -= 1
        if self._owed:
            self._owed -= 1
            if not self._owed:
                self._acknowledge(self._marked)

    def _acknowledge(self, sequence: int) -> None:
        backlog = self.outbox.backlog
        if backlog is None:  # it has not identified
            return
        if not backlog.covers(sequence):
            raise Disconnect(Cause.INVALID_SEQUENCE, f"{sequence} acknowledged, {backlog.given} given")
        backlog.acknowledge(sequence)

    def _count(self, event: e.ClientEvent | None, now: float) -> None:
        if self._quota is not None and not self._quota.count(
            self.received, now, heartbeat=type(event) is e.Heartbeat, identified=self.state in IDENTIFIED
        ):
            self._quota = None

    def busy(self, now: float) -> None:
        """From now on we act on a message, and listen to no other."""
        self._busy_since = now

    def listen(self, now: float) -> None:
        """We listen again: the time between was no silence of the client's."""
        if self._busy_since is not None:
            self.last_life += now - self._busy_since
            self._busy_since = None

    # --- time -----------------------------------------------------------------------------------------------

    @property
    def judged(self) -> bool:
        """Whether silence ends this client. A lenient listener waits for the connection's first heartbeat."""
        mode = self.settings.heartbeat
        return mode == "strict" or (mode == "lenient" and self.beats > 0)

    @property
    def alive_until(self) -> float:
        """When the client's silence becomes a missed heartbeat; infinity while it is not judged."""
        return self.last_life + self.settings.patience if self.judged else math.inf

    @property
    def due(self) -> float:
        """The next moment at which `tick` may have something to do."""
        late = self.alive_until
        if late == math.inf:  # a heartbeat may change that at any time, and wakes nobody
            late = self._looked_at + self.settings.interval
        if self.wire.probes and self._probed_at < self.last_life:
            late = min(late, self.last_life + self.settings.interval)
        if self._busy_since is not None:
            late = max(late, self._looked_at + self.settings.look_again)
        due = min(late, self._next_beat)
        return due if self.state in IDENTIFIED else min(due, self.identify_by)

    def late(self, now: float) -> bool:
        """Whether `tick` would end the client for its silence, while we listen to it."""
        limit = math.inf if self.state in IDENTIFIED else self.identify_by
        return self._busy_since is None and now >= min(limit, self.alive_until)

    def tick(self, now: float) -> None:
        """Say what is due by now. Raises `Disconnect` when the client is late."""
        if self.state in ENDED:
            return
        if self.state not in IDENTIFIED and now >= self.identify_by:
            raise Disconnect(Cause.IDENTIFY_TIMEOUT)
        listening = self._busy_since is None
        self._looked_at = now
        if listening and now >= self.alive_until:
            raise Disconnect(Cause.HEARTBEAT_MISSED, f"no heartbeat in {self.settings.patience:g} s")
        if now >= self._next_beat:
            self._next_beat = now + self.wire.beats_every(self.settings.interval)
            self._beat(now)
        silent = now >= self.last_life + self.settings.interval
        if self.wire.probes and listening and silent and self._probed_at < self.last_life:
            self._probe(now)

    def _beat(self, now: float) -> None:
        if not self.wire.probes:
            self._probed_at = now
        if self.wire.answers_beats:
            self._asked_at = now
            self._unanswered += 1
            if not self._owed:
                self._marked = self.outbox.next - 1
                self._owed = self._unanswered
        self.send(e.Beat(), now)

    def _probe(self, now: float) -> None:
        self._probed_at = self._asked_at = now
        self.send(e.BeatRequest(), now)

    def ask(self, now: float) -> float | None:
        """Have the client show now what it has read, or say when it may be asked. Raises `Disconnect`."""
        answers, backlog = self.wire.answers_beats, self.outbox.backlog
        if answers:
            asked = self._unanswered > 0
        else:  # a heartbeat may say it, and comes at once where it is asked for
            tells = self.wire.probes and backlog is not None and backlog.acknowledged is not None
            asked = not tells or self._probed_at > -math.inf
        if asked:
            return None
        rate = self.settings.rate_limit  # the answers must not break it
        earliest = self._asked_at + max(self.settings.ask_again, 0.0 if rate is None else 2 * rate.period / rate.count)
        if now >= earliest:
            (self._beat if answers else self._probe)(now)
        return earliest if now < earliest else None

    # --- the end --------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether events can still be said to this client."""
        return self.verdict is None and self.state in IDENTIFIED

    @property
    def keeps_up(self) -> bool:
        """Whether it could be a member of a set: its frames are others' but for a number, and nothing waits for it."""
        shared = self.variant in SHARED and self.codec is None and self._own is (self._number is not None)
        return shared and self.outbox.keeps_up and self.open

    def end(self, verdict: Disconnect) -> None:
        """Pass a verdict from outside the client's own tasks; the first one stands."""
        if self.verdict is None:
            self.judge(verdict)
            self._stop()

    def judge(self, verdict: Disconnect) -> Disconnect:
        """The first verdict on this client: this one, or an older one. No event is said to it from here on."""
        if self.verdict is None:
            self.verdict = verdict
            self.outbox.leave()
        return self.verdict

    def release(self) -> None:
        """The client is gone: let go of its tasks and its socket, which hold this object themselves."""
        self._stop, self.pings, self.codec = nobody, NO_PINGS, None
        if self.verdict is not None:
            self.verdict.__traceback__ = self.verdict.__context__ = None  # every frame that it passed
        self.outbox.release()

    def stays(self, verdict: Disconnect, now: float) -> bool:
        """Answer a fault that this protocol forgives. False: it does not, and the client has to go."""
        ending = self.wire.ending(verdict.cause)
        if ending.code is not None or self.state is State.OPENED:
            return False
        if self.state is State.IDENTIFYING and verdict.cause is not Cause.ALREADY_IDENTIFIED:
            self.state = step(self.state, e.Refusal)
        if ending.payload is not None:
            self.send(e.Problem(ending.payload(verdict)), now)
        return True

    def farewell(self, verdict: Disconnect, now: float) -> tuple[int, str]:
        """Say what goes before the close frame, and tell with which code and reason to close."""
        ending = self.wire.ending(verdict.cause)
        self.state = step(self.state, e.Closing)
        if ending.payload is not None and not self._broken:
            self.outbox.push(encode(ending.payload(verdict), self.variant, self.codec), now, free=True)
        return 1008 if ending.code is None else ending.code, ending.reason_for(verdict)
