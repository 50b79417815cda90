"""Bounds and times that are no keys of the TOML: frozen values with a default, a unit and a reason each.

A key of the TOML is a promise to operators, and these are none, so the loader refuses them like any unknown key. They
hang on `LimitsConfig` (`config.limits.net.client.close_seconds`), and every object gets its own in its constructor: a
test that needs another bound makes another value. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from attrs import evolve, frozen


@frozen(kw_only=True)
class SocketLimits:
    """A listening socket, and what the sockets accepted on it inherit."""

    backlog: int = 1024
    """Connections that wait to be accepted (listen(2)): after a restart all clients come at once."""
    unsent_bytes: int = 131072
    """What the kernel takes beyond what is in flight (TCP_NOTSENT_LOWAT). With megabytes in its socket, a slow reader
    would look as if it read nothing for ten seconds, and what the socket holds is lost with the connection."""
    unacknowledged_seconds: float = 15.0
    """A peer that acknowledges nothing for so long is gone (tcp(7), TCP_USER_TIMEOUT)."""
    keepalive_idle: int = 5
    """Idle seconds before the first keep-alive probe: with the next two, a vanished peer is found in ten seconds."""
    keepalive_interval: int = 2
    """Seconds between two probes."""
    keepalive_probes: int = 3
    """Unanswered probes that end a connection."""
    probe_seconds: float = 1.0
    """For a daemon that listens on a Unix socket to be noticed before its file is unlinked."""
    accepted_in_a_row: int = 4
    """Connections, before other tasks run: to wake for each of a crowd costs more than to accept it. 16 save 4 % more
    of a connect, and a client beside others that reconnect all the time waits twice as long for its answer."""
    accept_pause: float = 0.01
    """Before `accept` is tried again after an error; doubled each time."""
    longest_accept_pause: float = 1.0
    """Where the doubling ends: a listener recovers within a second of the system."""
    dismissed_bytes: int = 8192
    """Read from the socket of a connection that is closed at once: a request head. A close over unread bytes would be a
    reset, which may overtake the answer."""


@frozen(kw_only=True)
class HeadLimits:
    """The request that opens a WebSocket."""

    head_bytes: int = 8192
    """As common proxies bound it."""
    target_bytes: int = 4096
    """Path and query: they may hold a token."""
    headers: int = 64
    """Browsers behind proxies send some twenty."""
    parameters: int = 32
    """In the query. More are refused, not cut: one that is left out might have been the token."""


@frozen(kw_only=True)
class TlsLimits:
    """A client's TLS; `tls_handshakes` of [limits] bounds the handshakes at a time."""

    handshake_seconds: float = 5.0
    """A handshake keeps some 50 KB; it takes one or two round trips."""
    crowded_seconds: float = 1.0
    """The same for the oldest handshake when others wait for its place."""
    hello_bytes: int = 32768
    """What a peer may send before keys are agreed on; we ask for no certificate of its own."""
    unsent_bytes: int = 65536
    """What TLS itself has to say (new keys, for example) to a peer that asks for it and does not read."""


@frozen(kw_only=True)
class ClientLimits:
    """One client, from its upgrade to its last byte."""

    write_seconds: float = 10.0
    """For a write to make progress; `outbox_age` where that is less."""
    control_frames: int = 10
    """In one second. Data frames are bounded by the protocol's own rate."""
    fragments: int = 1024
    """Of one message: each costs some microseconds, however small it is."""
    messages_in_a_row: int = 16
    """Of one client, before other clients are served."""
    catch_up_seconds: float = 5.0
    """For which a client that is late, but whose socket holds something unread, is spared."""
    catch_up_pause: float = 0.01
    """Between two looks at its socket."""
    close_seconds: float = 4.0
    """For the client to answer our close frame."""
    drain_bytes: int = 1048576
    """Read from a client after our close frame."""
    drain_frames: int = 64
    """Among which its own close frame is looked for: a flood is made of tiny frames by the million."""
    linger_seconds: float = 1.0
    """For a client to hang up after the last byte to it; closing earlier could reset the connection."""
    refused_bytes: int = 65536
    """Read meanwhile from a client that was refused: a request head with what was pipelined behind it."""
    identified_lines: int = 1000
    """Log lines of a kind in ten seconds, about clients that have identified: all but in a storm."""
    stranger_lines: int = 10
    """The same about others, who could fill the disk."""


@frozen(kw_only=True)
class ForwardLimits:
    """REST calls that a listener forwards; `rest_max_body` of the protocol's options bounds a body."""

    call_seconds: float = 30.0
    """For one whole call, bodies included."""
    calls: int = 64
    """Of one listener at a time; each takes a descriptor more."""
    piece_bytes: int = 65536
    """Read at once; a response that announces no more than this begins when all of it has arrived."""
    refused_bytes: int = 32 * 1024 * 1024
    """Read of a body that is refused, within `linger_seconds`: its client may send all of it before it reads why."""
    linger_seconds: float = 1.0
    """For that."""


@frozen(kw_only=True)
class NetLimits:
    """The sockets of clients."""

    address_share: int = 8
    """One address holds at most an eighth of `max_unidentified` and of `tls_handshakes`: others always get in."""
    sockets_in_a_row: int = 64
    """Read before other tasks run."""
    socket: SocketLimits = SocketLimits()
    head: HeadLimits = HeadLimits()
    tls: TlsLimits = TlsLimits()
    client: ClientLimits = ClientLimits()
    forward: ForwardLimits = ForwardLimits()


SMALLEST_EVENT = len(b'{"channel":"a","event":"b"}')


@frozen(kw_only=True)
class ApiLimits:
    """The admin API: what a connection, a request and its answer may cost."""

    # --- connections ----------------------------------------------------------------------------------------

    known: int = 1024
    """Connections in all, to either door: the Unix socket, and TCP with a valid token."""
    known_each: int = 256
    """Of one uid to the Unix socket, and of one token from one address."""
    strangers: int = 64
    """Connections that have not shown a valid token; enough for health checks and for clients about to show one."""
    strangers_each: int = 16
    """The same from one address."""
    stranger_seconds: float = 10.0
    """After which such a connection ends."""
    refused: int = 64
    """Connections that are being told that there is no room."""
    unauthorized_seconds: float = 0.1
    """Before a request without a valid token is answered, the first health check of a connection excepted: one address
    gets at most 160 such answers in a second."""

    # --- requests -------------------------------------------------------------------------------------------

    head_bytes: int = 16 * 1024
    """A request's head: twice what a gateway client may send, since tokens and query parameters can be long."""
    headers: int = 100
    """In a request: clients and proxies send some twenty."""
    head_seconds: float = 10.0
    """From the connection, or a later request's first byte, to the end of the head."""
    idle_seconds: float = 120.0
    """Between two requests: longer than the pools of common clients keep a connection (up to 90 s), so that the client
    closes it, and never sends into one that is being closed."""
    read_ahead: int = 64 * 1024
    """Of later requests, while one is being answered."""
    body_bytes: int = 8 * 1024 * 1024
    """One body."""
    body_seconds: float = 15.0
    """For the next part of a body to come."""
    body_chunks: int = 300_000
    """Of one body: one for each event of the longest list. Each costs 15 microseconds; 8 MiB could have 8 million."""
    chunks_in_a_row: int = 32
    """Decoded before other tasks run: one read may bring ten thousand, of a byte each."""
    bodies_bytes: int = 64 * 1024 * 1024
    """Of one uid or token, in all requests that are being read or worked on: eight of the largest. With events and
    answers they take some five times as much memory."""
    small_body_bytes: int = 65536
    """A body up to this size is read whatever `bodies_bytes` says, so that status and health are always answered."""
    large_body_bytes: int = 65536
    """Bodies above this size are split into events one at a time: the step is long enough for others to notice."""
    nested: int = 100_000
    """Arrays and objects in one value: the loop stands still while they are made, some 0.3 s for a million."""
    publish_id_bytes: int = 256
    """A publisher's own id of an event; a UUID has 36."""
    remember_seconds: float = 300.0
    """For which the answer to such an id is kept: longer than any publisher goes on trying."""
    remembered: int = 100_000
    """Such answers at the node; the oldest of the publisher with the most are forgotten first."""
    wait_seconds: float = 2.0
    """For which `?wait=` waits, unless the request says otherwise."""
    longest_wait_seconds: float = 30.0
    """Which it may ask for: each publisher that waits holds a connection and a list of sessions."""
    id_prefix: int = 6
    """Characters of a session's id that may stand for all of it."""
    candidates: int = 10
    """Ids that are listed where such a prefix is ambiguous."""

    # --- work and answers -----------------------------------------------------------------------------------

    slice_seconds: float = 0.02
    """For which publishing requests run before everything else does: more throughput of lists, or less latency."""
    rows_in_a_row: int = 500
    """Rows or answers that are made before other tasks run."""
    write_seconds: float = 10.0
    """For each `piece_bytes` of an answer."""
    piece_bytes: int = 64 * 1024
    """Written at once."""
    linger_seconds: float = 1.0
    """For what is read after an answer that ends the connection."""
    linger_bytes: int = 16 * 1024 * 1024
    """What is still read then: a close over unread bytes would be a reset that overtakes the answer. A client that
    sends twice the largest body is still told why it is refused."""

    @property
    def connections(self) -> int:
        """All connections that there may be at one door."""
        return self.known + self.strangers + self.refused

    @property
    def events(self) -> int:
        """In one body: valid events are no smaller, and the errors of invalid ones must not be many times its size."""
        return self.body_bytes // SMALLEST_EVENT

    def within(self, connections: int) -> ApiLimits:
        """The same for a door that has no more connections than these; at the very least one of each kind."""
        if connections >= self.connections:
            return self
        few = max(1, connections // 8)
        strangers, refused = min(self.strangers, few), min(self.refused, few)
        known = max(1, connections - strangers - refused)
        return evolve(
            self, known=known, known_each=min(self.known_each, max(1, known // 2)), refused=refused,
            strangers=strangers, strangers_each=min(self.strangers_each, max(1, strangers // 4)),
        )  # fmt: skip


@frozen(kw_only=True)
class BrakeLimits:
    """Wrong keys from one address."""

    free: int = 10
    """Answered at once in a `period`: people mistype, and a service with an old key retries."""
    period: float = 60.0
    """After which an address begins anew."""
    first_pause: float = 0.1
    """Before the next one is answered; doubled each time."""
    longest_pause: float = 5.0
    """Where the doubling ends: twelve guesses a minute, and a client still gets its answer."""
    addresses: int = 10_000
    """That are remembered; the one that has been quiet for longest is forgotten first."""


@frozen(kw_only=True)
class AuthLimits:
    """Claims, and what their judges answer."""

    token_characters: int = 16384
    """Of a signed token; issuers with many claims reach some four thousand."""
    answer_bytes: int = 65536
    """Of a backend's verdict."""
    channels: int = 256
    """Of one verdict: each is an entry in the hub and in the journal."""
    metadata_bytes: int = 65536
    """Of one verdict, as JSON: it is written to the journal, and goes to the backend with every request."""
    longest_expiry: float = 366 * 86400.0
    """Told apart from a later one; very long waits overflow timers."""
    close_seconds: float = 2.0
    """For closing the connections to backends at the end."""
    wrong_keys: BrakeLimits = BrakeLimits()


@frozen(kw_only=True)
class BackendLimits:
    """Commands on their way to the backend; [backend] bounds those that are asked at a time."""

    waiting: int = 64
    """Commands that may wait for each of `max_concurrent`: those of clients that have gone are seen through as well."""
    log_seconds: float = 5.0
    """In which each kind of failure is logged once."""


@frozen(kw_only=True)
class JournalLimits:
    """The journal's file and its writer."""

    pending_bytes: int = 64 * 1024 * 1024
    """Values, and 64 bytes an operation, that may wait for a slow disk: at most a million operations."""
    patience: float = 10.0
    """How long a write may take before the journal counts as degraded."""
    watch: float = 5.0
    """How often an idle journal looks whether its file is still there."""
    first_retry: float = 1.0
    """Before a degraded journal tries the way back; doubled each time."""
    last_retry: float = 30.0
    """Where the doubling ends: half a minute after the disk is well, so is the journal."""
    remind: float = 60.0
    """At most so often the log says again that nothing is written."""
    close_seconds: float = 10.0
    """For writing the rest at the end; a disk that hangs must not hang the daemon's end."""
    busy_seconds: float = 5.0
    """How long a write waits for somebody who holds the database, such as an operator's sqlite3."""
    statement_rows: int = 128
    """Rows a statement. Python gives up its lock at every statement, and to get it back from a busy loop takes long."""
    checkpoint_pages: int = 4096
    """Of 4 KiB: 16 MiB of write-ahead log go back into the database at once."""
    log_bytes: int = 64 * 1024 * 1024
    """A write-ahead log that grew beyond that is cut back to it."""


@frozen(kw_only=True)
class DaemonLimits:
    """The process: its start, its loop, its end."""

    log_records: int = 10_000
    """That wait for a slow stderr; what comes then is dropped and counted."""
    status_seconds: float = 5.0
    """How often `systemctl status` gets new figures."""
    own_descriptors: int = 64
    """For listening sockets and files; connections to backends come to that, as many as are configured."""
    own_part: int = 4
    """All that has at most a quarter of the descriptors."""
    door_connections: int = 256
    """That a door of the admin API has before clients have all they may."""
    door_part: int = 16
    """But where descriptors are few, at most a sixteenth of the rest."""
    stall_seconds: float = 1.0
    """A tick of the event loop that took longer was a stall, by which every deadline is moved."""
    longest_sleep: float = 0.5
    """After which the loop looks around, so that a long tick is always a stall and never a quiet hour."""
    few_unidentified: int = 64
    """Where clients are few, so are those that have not identified: one address holds an eighth of all slots, not all
    of them."""
    logins_at_once: int = 16
    """Expired logins that auth is asked about: it is needed for those who are new, too."""
    catch_up_seconds: float = 1.0
    """How long what is due may wait until all that has come is read."""
    half_open_seconds: float = 1.0
    """What a client in the handshake has at shutdown."""
    parting_seconds: float = 1.0
    """What the backend has at shutdown, at the least, to be told how sessions ended; a quarter of a grace below 4 s."""


@frozen(kw_only=True)
class FirstReceiverLimits:
    """Events that wait for the first receiver of a channel, in one realm."""

    channels: int = 256
    """With such events; an event for one more is dropped."""
    events: int = 1000
    """Of one channel; the oldest give way."""
    bytes: int = 1048576
    """The same, as much as a resume buffer holds by default."""


@frozen(kw_only=True)
class RoomLimits:
    """The rooms of one realm."""

    rooms: int = 100_000
    """Rooms, and rooms that have bans; of these, the one that had the first gives way."""
    bans: int = 10_000
    """In one room."""
    closed_names: int = 10_000
    """Names of closed rooms that are remembered, the newest of them."""


@frozen(kw_only=True)
class NotificationLimits:
    """Notifications that wait in one realm for users who are not there; bytes with some overhead for each."""

    users: int = 10_000
    """Who have any; the one that has waited longest gives way."""
    per_user: int = 100
    """The oldest give way."""
    bytes_per_user: int = 4 * 1024 * 1024
    """`notifications_bytes` of [limits] takes its place."""
    bytes: int = 64 * 1024 * 1024
    """Of all users; the realm's share of `notifications_total_bytes` takes its place."""


@frozen(kw_only=True)
class HubLimits:
    """Sessions, what they are given, and what realms keep."""

    first_receiver: FirstReceiverLimits = FirstReceiverLimits()
    rooms: RoomLimits = RoomLimits()
    notifications: NotificationLimits = NotificationLimits()
    documents: int = 100_000
    """In one realm."""
    documents_bytes: int = 64 * 1024 * 1024
    """Of one realm: keys and values."""
    watches: int = 32
    """Publishers of one tenant that wait at a time: they must not keep out those who want to look."""
    watched_pairs: int = 100_000
    """Pairs of event and session that they wait for together."""
    probe_seconds: float = 2.0
    """For an older client of the same identity to give a sign of life before the newcomer takes its session."""
    judged_apart: float = 1.0
    """Seconds between two judgements of a session's login, at the least."""
    in_sync: int = 16
    """Subscribers of a channel who hear the same, from which on those who keep up are written to in one go."""
    ahead: int = 1_000_000
    """Numbers of events, and sequences of each session, that are reserved at a time. The journal is asked for changes
    every few seconds at least, so that half of them outlast what can be published until then."""
