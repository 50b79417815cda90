"""What a configuration says, as frozen values; the classes hold every default that is not a protocol's.

Annotations are read at run time (the loader goes by them), so this file does not postpone them.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from gatewayd.config.auth import AuthConfig
from gatewayd.config.backend import BackendConfig
from gatewayd.config.checks import LOADED
from gatewayd.config.checks import named as _named
from gatewayd.config.checks import not_empty as _not_empty
from gatewayd.config.checks import not_negative as _not_negative
from gatewayd.config.checks import positive as _positive
from gatewayd.config.limits import (
    ApiLimits,
    AuthLimits,
    BackendLimits,
    DaemonLimits,
    HubLimits,
    JournalLimits,
    NetLimits,
)
from gatewayd.config.values import Bind, FileMode, Secret, check_socket_path
from gatewayd.core.rate import Rate, Seconds
from gatewayd.core.settings import Judging

__all__ = [
    "SCOPES",
    "AdminConfig",
    "ApiConfig",
    "ApiToken",
    "AuthConfig",
    "BackendConfig",
    "Bind",
    "Config",
    "FileMode",
    "GatewayConfig",
    "LimitsConfig",
    "ListenerConfig",
    "ListenerLimits",
    "Secret",
]

OPEN = "open"
"""The realm of a listener without auth."""
DURABILITIES = ("none", "batched", "always")
SCOPES = ("read", "publish", "admin")
"""What a bearer token of [api] may do: look, send events and notifications, everything else."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+|null", re.IGNORECASE)


def _durability(instance: object, attribute: "attrs.Attribute[Any]", value: str) -> None:
    if value not in DURABILITIES:
        raise ValueError(f"expected one of: {', '.join(DURABILITIES)}, got {value!r}")


def _socket_path(instance: object, attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None:
        check_socket_path(value)


def _scopes(instance: object, attribute: "attrs.Attribute[Any]", value: tuple[str, ...]) -> None:
    for scope in value:
        if scope not in SCOPES:
            raise ValueError(f"unknown scope {scope!r}, expected some of: {', '.join(SCOPES)}")


def _realms(instance: object, attribute: "attrs.Attribute[Any]", value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("expected names of realms; leave it out for a token that reaches all of them")


def _origins(instance: object, attribute: "attrs.Attribute[Any]", value: tuple[str, ...] | None) -> None:
    for origin in value or ():
        # A path or a closing slash would never equal what a browser sends, and so refuse everyone in silence.
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f'expected origins such as "https://example.org", got {origin!r}')


def _proxies(instance: object, attribute: "attrs.Attribute[Any]", value: tuple[str, ...]) -> None:
    for proxy in value:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise ValueError(f"expected IP addresses or networks, got {proxy!r}") from None


@attrs.frozen(kw_only=True)
class GatewayConfig:
    """[gateway]: the daemon as a whole."""

    node: str = attrs.field(factory=socket.gethostname, validator=_named)
    """The node's name in statuses and logs; the host name by default."""
    state_dir: str = ""
    """Directory of the journal; empty keeps everything in memory."""
    journal_interval: Seconds = attrs.field(default=Seconds(0.1), validator=_positive)
    """Changes are on disk after this time at the latest."""
    shutdown_grace: Seconds = attrs.field(default=Seconds(10.0), validator=_not_negative)
    """How long clients have to close when the daemon stops."""
    fast_lane: bool = True
    """The daemon reads plain frames itself; false gives every frame to trio-websocket."""
    io_uring: Literal["auto", "off"] = "auto"
    """Events for many clients are written through io_uring where the kernel has it and lets it be used; else, and with
    "off", with one system call for each client."""


@attrs.frozen(kw_only=True)
class AdminConfig:
    """[admin]: the Unix socket for operators."""

    socket: str | None = attrs.field(default=None, validator=_socket_path)
    """Its path; None is the default, in the runtime directory."""
    mode: FileMode = attrs.field(default=FileMode(0o600))
    """Permission bits of the socket."""
    group: str | None = attrs.field(default=None, validator=_not_empty)
    """The group that the socket belongs to; with mode 0660 its members may use it."""


@attrs.frozen(kw_only=True)
class ApiToken:
    """One bearer token of [api]; in the TOML `token`, or a file that holds it under `file` or `token_file`."""

    name: str = attrs.field(validator=_named)
    """The name of its holder, for the log."""
    token: Secret = attrs.field(metadata={"file_key": "file"})
    """The secret itself."""
    scopes: tuple[str, ...] = attrs.field(validator=_scopes)
    """What it may do: `read`, `publish`, `admin`."""
    realms: tuple[str, ...] | None = attrs.field(default=None, validator=attrs.validators.optional(_realms))
    """The realms that it sees and reaches; all unless some are named."""


@attrs.frozen(kw_only=True)
class ApiConfig:
    """[api]: the admin API over TCP, for whoever holds one of the tokens."""

    bind: Bind
    """Where it is served."""
    tokens: tuple[ApiToken, ...] = ()
    """Who may use it."""


@attrs.frozen(kw_only=True)
class ListenerLimits:
    """[limits]: bounds for the node; each listener holds its own copy, with what it set itself.

    Times are in seconds; the outbox limits are per client.
    """

    max_clients: int = attrs.field(default=15000, validator=_positive)
    """Connected clients."""
    max_clients_per_ip: int = attrs.field(default=256, validator=_positive)
    """Connected clients of one address."""
    max_unidentified: int = attrs.field(default=4096, validator=_positive)
    """Clients that are connected and have not identified yet."""
    handshake_timeout: Seconds = attrs.field(default=Seconds(10.0), validator=_positive)
    """For TLS and the request that opens a WebSocket."""
    unidentified_messages: int = attrs.field(default=64, validator=_positive)
    """Messages that one client may send before it identifies; an identify and some heartbeats need few."""
    unidentified_bytes: int = attrs.field(default=65536, validator=_positive)
    """The same, in bytes."""
    bytes_per_second: int = attrs.field(default=262144, validator=_positive)
    """What one identified client may send, once it has sent `burst_bytes`."""
    burst_bytes: int = attrs.field(default=1048576, validator=_positive)
    """What one client may send at once. One message of `max_message_bytes` always fits."""
    max_message_bytes: int = attrs.field(default=65536, validator=_positive)
    """The largest message that a client may send."""
    outbox_bytes: int = attrs.field(default=1048576, validator=_positive)
    """What may wait for one slow client, in bytes; beyond that it is cut off."""
    outbox_events: int = attrs.field(default=1024, validator=_positive)
    """The same, in events."""
    outbox_age: Seconds = attrs.field(default=Seconds(30.0), validator=_positive)
    """How long the oldest of it may wait."""


@attrs.frozen(kw_only=True)
class LimitsConfig(ListenerLimits):
    """[limits] with what only the node as a whole can have; what is `LOADED` here, the TOML cannot set."""

    tls_handshakes: int = attrs.field(default=512, validator=_positive)
    """TLS handshakes at a time, of some 50 KB each. One address has at most an eighth; the others wait."""
    notifications_bytes: int = attrs.field(default=4194304, validator=_positive)
    """Bytes of the notifications that wait for one user; one answer to a login holds all of them."""
    notifications_total_bytes: int = attrs.field(default=67108864, validator=_positive)
    """Bytes of all notifications that wait, an equal share for each realm, so that users who never come cannot fill the
    memory."""
    net: NetLimits = attrs.field(default=NetLimits(), metadata={LOADED: True})
    """Of the sockets of clients."""
    api: ApiLimits = attrs.field(default=ApiLimits(), metadata={LOADED: True})
    """Of the admin API."""
    auth: AuthLimits = attrs.field(default=AuthLimits(), metadata={LOADED: True})
    """Of claims and verdicts."""
    backend: BackendLimits = attrs.field(default=BackendLimits(), metadata={LOADED: True})
    """Of commands on their way."""
    journal: JournalLimits = attrs.field(default=JournalLimits(), metadata={LOADED: True})
    """Of the journal."""
    daemon: DaemonLimits = attrs.field(default=DaemonLimits(), metadata={LOADED: True})
    """Of the process."""
    hub: HubLimits = attrs.field(default=HubLimits(), metadata={LOADED: True})
    """Of sessions, and of what realms keep."""


@attrs.frozen(kw_only=True)
class ListenerConfig(ListenerLimits):
    """[[listeners]]: one bound socket that speaks one protocol; times are in seconds.

    The loader fills what the file leaves out: first from the protocol, then from [limits].  The defaults of the timings
    here only serve code that makes a listener without the loader.
    """

    name: str = attrs.field(validator=_named)
    """Its name in commands, logs and channels."""
    protocol: str
    """The protocol that it speaks."""
    bind: Bind
    """Where it listens."""
    auth: str | None = None
    """Name of an [auth.NAME]; None admits everybody."""
    heartbeat: Judging = "strict"
    """Whose silence ends a connection: "lenient" spares clients that have sent no heartbeat on it, "off" all."""
    realm: str = attrs.field(default=OPEN, validator=_named)
    """Who may hear whom; by default the name of its auth, or "open" without auth."""
    heartbeat_interval: Seconds = attrs.field(default=Seconds(30.0), validator=_positive)
    """How often a client owes a heartbeat."""
    heartbeat_tolerance: Seconds = attrs.field(default=Seconds(5.0), validator=_not_negative)
    """Silence allowed beyond the interval."""
    identify_timeout: Seconds | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))
    """How long a client may take to identify; None where the request identifies it."""
    resume_window: Seconds = attrs.field(default=Seconds(60.0), validator=_not_negative)
    """How long a client may come back to its session; 0 ends a session with its client."""
    resume_events: int = attrs.field(default=1000, validator=_not_negative)
    """Events that are kept for a session without a client; the oldest give way."""
    resume_bytes: int = attrs.field(default=1048576, validator=_not_negative)
    """The same, in bytes."""
    durability: str = attrs.field(default="batched", validator=_durability)
    """What of its sessions outlives the process: "none", "batched" (not the last `journal_interval`) or "always"."""
    rate_limit: Rate | None = None
    """Messages that one client may send in a time."""
    origins: tuple[str, ...] | None = attrs.field(default=None, validator=_origins)
    """Pages that may connect; None admits clients that are not browsers, and same-origin browsers."""
    trusted_proxies: tuple[str, ...] = attrs.field(default=(), validator=_proxies)
    """Addresses or networks whose X-Forwarded-For is believed."""
    reuse_port: bool = False
    """Several daemons of one user may listen on this port; the kernel distributes the clients."""
    tls_cert: str | None = attrs.field(default=None, validator=_not_empty)
    """File of the certificate chain, in PEM; with tls_cert and tls_key, clients connect by wss."""
    tls_key: str | None = attrs.field(default=None, validator=_not_empty)
    """File of the certificate's private key, in PEM."""
    options: object = None
    """After loading an instance of the protocol's own options class."""


@attrs.frozen(kw_only=True)
class Config:
    """A whole configuration file."""

    gateway: GatewayConfig = attrs.field(factory=GatewayConfig)
    admin: AdminConfig = attrs.field(factory=AdminConfig)
    api: ApiConfig | None = None
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    auth: Mapping[str, AuthConfig] = attrs.field(factory=dict)
    backend: BackendConfig | None = None
    listeners: tuple[ListenerConfig, ...] = ()
    warnings: tuple[str, ...] = attrs.field(default=(), eq=False, metadata={LOADED: True})
    """What is allowed, and probably not meant; a line for each, in the order of the file."""

    @property
    def waits_for_disk(self) -> bool:
        """Whether what is done on some listener has to be on disk before it is answered."""
        return any(listener.durability == "always" for listener in self.listeners)
