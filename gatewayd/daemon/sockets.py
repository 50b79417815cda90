"""Everything that the daemon listens on: bound before anything is served, and cleared away at the end."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from gatewayd.config.limits import SocketLimits
from gatewayd.config.model import Config, ListenerConfig
from gatewayd.net.bind import BindError, bind_tcp, bind_unix, inherited, inode, unlink_ours


class Sockets:
    """The sockets of one configuration: `admin`, `api` (or None), and by listener's name those of the `clients`."""

    def __init__(self, limits: SocketLimits = SocketLimits()) -> None:
        self._limits = limits
        self.admin: socket.socket | None = None
        self.api: socket.socket | None = None
        self.clients: list[tuple[str, socket.socket]] = []
        self._unix: list[tuple[Path, int]] = []

    def bind(self, config: Config, admin: Path, environ: Mapping[str, str]) -> None:
        """Bind everything, the admin socket first: it tells whether another daemon is running. Raises `BindError`."""
        self.admin = self._bind_unix(admin, config.admin.mode, config.admin.group)
        handed = inherited(environ, limits=self._limits)
        for listener in config.listeners:
            for sock in self._bind(listener, handed):
                self.clients.append((listener.name, sock))
        if config.api is not None:
            bind = config.api.bind
            self.api = bind_tcp(bind.host or "", bind.port or 0, limits=self._limits)

    def _bind(self, config: ListenerConfig, handed: dict[str, list[socket.socket]]) -> Iterable[socket.socket]:
        bind = config.bind
        if bind.kind == "unix":
            return [self._bind_unix(Path(bind.path or ""), 0o666)]
        if bind.kind == "systemd":
            if not handed.get(bind.name or ""):
                raise BindError(
                    f"listener {config.name}: systemd handed over no socket named {bind.name!r}; "
                    "set FileDescriptorName= in the .socket unit and start that"
                )
            return handed.pop(bind.name or "")
        return [bind_tcp(bind.host or "", bind.port or 0, shared=config.reuse_port, limits=self._limits)]

    def _bind_unix(self, path: Path, mode: int, group: str | None = None) -> socket.socket:
        sock = bind_unix(path, mode, group, limits=self._limits)
        self._unix.append((path, inode(path)))
        return sock

    def release(self) -> None:
        """Close them all, and remove the socket files that are still ours."""
        for sock in (*(sock for _, sock in self.clients), self.admin, self.api):
            if sock is not None:
                sock.close()
        for path, noted in self._unix:
            unlink_ours(path, noted)
