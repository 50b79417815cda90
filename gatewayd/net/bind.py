"""Listening sockets: TCP, Unix, or passed by systemd, with the socket options that every client inherits."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from gatewayd.config.limits import SocketLimits

FIRST_FD = 3
"""systemd passes its sockets from this descriptor on (sd_listen_fds(3))."""


class BindError(Exception):
    """A listening socket could not be bound; the text is one sentence for the operator."""


def bind_tcp(
    host: str, port: int, *, shared: bool = False, limits: SocketLimits = SocketLimits()
) -> socket.socket:  # fmt: skip
    """A listening TCP socket on a host name or address; a `shared` port is open to our other processes, too.

    The kernel spreads the clients of a shared port over its sockets, which must all belong to one user
    (SO_REUSEPORT, socket(7)).
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise BindError(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        hint = ": is another program, or another gatewayd, using it?" if exc.errno == errno.EADDRINUSE else ""
        raise BindError(f"cannot listen on {host}:{port}: {exc.strerror}{hint}") from exc
    return _listening(sock, limits)


def bind_unix(
    path: Path, mode: int = 0o600, group: str | None = None, *, limits: SocketLimits = SocketLimits()
) -> socket.socket:  # fmt: skip
    """A listening Unix socket. A dead socket file in the way is unlinked, one that answers is not.

    Its permissions are never wider than asked for: it is bound under a strict umask, and widened after that.
    """
    _clear_path(path, limits.probe_seconds)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        os.chmod(path, mode)
    except KeyError as exc:
        sock.close()
        path.unlink(missing_ok=True)
        raise BindError(f"cannot listen on {path}: there is no group {group!r}") from exc
    except OSError as exc:
        sock.close()
        raise BindError(f"cannot listen on {path}: {exc.strerror}") from exc
    finally:
        os.umask(before)
    return _listening(sock, limits)


def _clear_path(path: Path, seconds: float) -> None:
    """Unlink a dead socket file. Raises `BindError` when something else is in the way."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        owner = path.parent.stat().st_uid
        if owner not in (0, os.geteuid()):  # in /tmp anybody may have created it first
            raise BindError(f"cannot listen on {path}: its directory belongs to another user (uid {owner})")
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise BindError(f"cannot listen on {path}: {exc.strerror}") from exc
    if not stat.S_ISSOCK(mode):
        raise BindError(
            f"cannot listen on {path}: a file that is not a socket is in the way; move it or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(seconds)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)  # its daemon died without cleaning up
            return
        except OSError as exc:
            raise BindError(f"cannot tell whether {path} is in use: {exc.strerror}") from exc
    raise BindError(f"cannot listen on {path}: another daemon answers there; stop it or choose another path")


def inherited(
    environ: Mapping[str, str], *, first: int = FIRST_FD, limits: SocketLimits = SocketLimits()
) -> dict[str, list[socket.socket]]:  # fmt: skip
    """The sockets that systemd passed to this process, by their FileDescriptorName= (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    for index in range(count):
        try:
            sock = socket.socket(fileno=first + index)
        except OSError as exc:
            raise BindError(f"LISTEN_FDS promises a socket as descriptor {first + index}: {exc.strerror}") from exc
        os.set_inheritable(sock.fileno(), False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        found.setdefault(name, []).append(_listening(sock, limits))
    return found


def _listening(sock: socket.socket, limits: SocketLimits) -> socket.socket:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_USER_TIMEOUT, int(limits.unacknowledged_seconds * 1000)),
            (socket.TCP_NOTSENT_LOWAT, limits.unsent_bytes),
            (socket.TCP_KEEPIDLE, limits.keepalive_idle),
            (socket.TCP_KEEPINTVL, limits.keepalive_interval),
            (socket.TCP_KEEPCNT, limits.keepalive_probes),
        ):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setblocking(False)
    sock.listen(limits.backlog)
    return sock


def inode(path: Path) -> int:
    """The identity of a socket file, for `unlink_ours`; read right after the bind."""
    return path.lstat().st_ino


def unlink_ours(path: Path, noted: int) -> None:
    """Remove a Unix socket's file at exit, unless another daemon has bound its own there meanwhile."""
    try:
        if path.lstat().st_ino == noted:
            path.unlink()
    except FileNotFoundError:
        pass  # it is removed already
