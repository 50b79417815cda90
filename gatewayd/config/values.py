"""Single values that are written as text in the TOML: durations, rates, addresses, secrets, file modes.

Every parser raises ValueError with a sentence that can stand behind the key's name.
"""

import ipaddress
import re
from typing import ClassVar, Literal, NewType

import attrs

from gatewayd.core.rate import Rate, Seconds

FileMode = NewType("FileMode", int)
"""Permission bits of a file; text such as "0660" in the TOML."""

LONGEST = 366 * 86400.0  # a longer wait is a typing mistake, and very long ones overflow timers
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# [0-9], not \d: \d also takes the digits of other scripts.
_DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h)")
_RATE = re.compile(r"([0-9]{1,9})/([^/]+)")
_MODE = re.compile(r"0?[0-7]{3}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
_SOCKET_NAME = re.compile(r"[!-9;-~]{1,255}")  # systemd: printable ASCII, no colon
_SOCKET_PATH_BYTES = 107  # sun_path of Linux, less its closing NUL

MASK = "********"
LIFECYCLE = ("opened", "detached", "resumed", "ended")
"""The kinds of lifecycle events, in the order of a session's life."""


@attrs.frozen(repr=False)
class Secret:
    """A text that no log, traceback or `config show` may print; `reveal()` gives it to whoever compares it."""

    _value: str

    def reveal(self) -> str:
        """The text itself: for comparing and sending, never for printing."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK


@attrs.frozen
class Kinds:
    """Which lifecycle events a backend is told: true for all, false for none, or a list in the TOML."""

    names: tuple[str, ...]

    ALL: ClassVar["Kinds"]

    @classmethod
    def parse(cls, value: object) -> "Kinds":
        """Read true, false, or a list of kinds."""
        if isinstance(value, bool):
            return cls(LIFECYCLE if value else ())
        if not isinstance(value, list):
            text = f"expected true, false, or a list of: {', '.join(LIFECYCLE)}"
            raise ValueError(text)  # noqa: TRY004 - every parser here raises ValueError
        for kind in value:
            if kind not in LIFECYCLE:
                raise ValueError(f"unknown kind {kind!r}, expected some of: {', '.join(LIFECYCLE)}")
        return cls(tuple(kind for kind in LIFECYCLE if kind in value))


Kinds.ALL = Kinds(LIFECYCLE)


@attrs.frozen(kw_only=True)
class Bind:
    """An address to listen on.  Of the fields, those of its `kind` are set: host and port, path, or name."""

    kind: Literal["tcp", "unix", "systemd"]
    host: str = ""
    port: int = 0
    path: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """Read "host:port" ("[::1]:80" for IPv6; port 0 lets the kernel choose), "unix:/path" or "systemd:NAME"."""
        scheme, _, rest = text.partition(":")
        if scheme == "unix":
            return cls(kind="unix", path=check_socket_path(rest))
        if scheme == "systemd":
            if not _SOCKET_NAME.fullmatch(rest):
                raise ValueError(f"expected systemd:NAME with the socket's FileDescriptorName, got {text!r}")
            return cls(kind="systemd", name=rest)
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch("[0-9]{1,9}", port):
            raise ValueError(f'expected "host:port", "unix:/path" or "systemd:NAME", got {text!r}')
        if int(port) > 65535:
            raise ValueError(f"port {port} is not between 0 and 65535")
        return cls(kind="tcp", host=_parse_host(host), port=int(port))

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "systemd":
            return f"systemd:{self.name}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_host(text: str) -> str:
    """A host as sockets want it, without brackets."""
    if text.startswith("[") and text.endswith("]"):
        host = text[1:-1]
        ipaddress.IPv6Address(host)  # AddressValueError is a ValueError and says what is wrong
        return host
    if ":" in text:
        raise ValueError(f"an IPv6 address stands in brackets: [{text}]")
    if re.fullmatch(r"[0-9.]+", text):
        ipaddress.IPv4Address(text)
    elif not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a host name or address")
    return text


def check_socket_path(text: str) -> str:
    """The path of a Unix socket, if the kernel can take it."""
    if not text or "\0" in text:
        raise ValueError("expected the path of a Unix socket")
    if len(text.encode(errors="surrogateescape")) > _SOCKET_PATH_BYTES:
        raise ValueError(f"the path of a Unix socket has at most {_SOCKET_PATH_BYTES} bytes")
    return text


def parse_seconds(value: str | float) -> Seconds:
    """A duration: a number of seconds, or text with one of the units ms, s, m, h.  Its sign is not judged here."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise ValueError(f'expected a duration such as "30s", "500ms", "5m" or "1h", got {value!r}')
        value = float(match[1]) * _UNITS[match[2]]
    # Compared before it is converted: float() of a very large whole number overflows.  This way round NaN fails too.
    if not -LONGEST <= value <= LONGEST:
        raise ValueError("a duration has at most 366 days")
    return Seconds(float(value))


def format_seconds(seconds: float) -> str:
    """The shortest usual text of a duration, readable by `parse_seconds`: "30s", "500ms"."""
    number, unit = (seconds * 1000, "ms") if 0 < abs(seconds) < 1 else (seconds, "s")
    return f"{number:.6f}".rstrip("0").rstrip(".") + unit


def parse_rate(text: str) -> Rate:
    """A rate as "count/period", such as "120/60s"."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f'expected a rate such as "120/60s", got {text!r}')
    rate = Rate(int(match[1]), parse_seconds(match[2]))
    if rate.count < 1 or rate.period <= 0:
        raise ValueError(f"the count and the period of a rate must be more than 0, got {text!r}")
    return rate


def format_rate(rate: Rate) -> str:
    """The text of a rate, readable by `parse_rate`."""
    return f"{rate.count}/{format_seconds(rate.period)}"


def parse_mode(value: object) -> FileMode:
    """Permission bits as octal text.  A bare number is refused: 660 and 0o660 look alike and are not."""
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ValueError(f'expected an octal file mode in quotes, such as "0660", got {value!r}')
    return FileMode(int(value, 8))


def format_mode(mode: int) -> str:
    """The text of permission bits, readable by `parse_mode`."""
    return f"{mode:04o}"
