"""Where the daemon's admin socket is, and the truth about one that cannot be used.

Laws: a place that was named is the only one; of the usual places the first where a daemon listens is taken.  A failure
tells every place that was tried, and of a refused permission who has it.
"""

import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gatewayd.config.find import socket_candidates


class Unreachable(Exception):
    """Nobody at the socket answers as the daemon would; the text has a line for each thing to be said."""


class AdminSocket:
    """The socket to connect to: the one that was named, else the usual ones in their order."""

    def __init__(self, paths: Iterable[Path], *, named: bool) -> None:
        self.paths = list(paths)
        self.named = named

    def connect(self, connect: Callable[[str], socket.socket]) -> tuple[str, socket.socket]:
        """The first path where somebody listens, and the connection; raises Unreachable."""
        tried = []
        denied = None
        for path in self.paths:
            if not self.named and _planted(path, os.getuid()):
                tried.append(f"{path}: its directory belongs to another user, so it is not trusted")
                continue
            try:
                return str(path), connect(str(path))
            except PermissionError as error:
                why = denial(path)
                if self.named or os.path.exists(path):
                    raise Unreachable(why) from error
                denied = denied or why  # a directory that is closed to us: a place that is open may come later
            except (FileNotFoundError, NotADirectoryError):
                tried.append(f"{path}: no such file")
            except ConnectionRefusedError:
                left = "nobody listens (left by a daemon that has ended)"
                tried.append(f"{path}: {left if path.is_socket() else 'it is not a socket'}")
            except BlockingIOError as error:
                raise Unreachable(
                    f"the daemon at {path} does not accept connections; is it stuck or stopped?"
                ) from error
            except OSError as error:
                reason = error.strerror or error
                raise Unreachable(f"cannot connect to {path}: {reason}; is this the daemon's admin socket?") from error
        if denied:
            raise Unreachable(denied)
        places = [f"no daemon at {tried[0]}"] if len(tried) == 1 else ["no daemon found; tried", *tried]
        raise Unreachable(
            "\n".join([*places, "gatewayd run starts one; --socket or $GATEWAYD_SOCKET names its socket"])
        )


def find_socket(given: str | None, environ: Mapping[str, str], usual: Iterable[Path] | None = None) -> AdminSocket:
    """The admin socket's place: `--socket`, $GATEWAYD_SOCKET, or the usual ones."""
    if named := given or environ.get("GATEWAYD_SOCKET"):
        return AdminSocket([Path(named)], named=True)
    return AdminSocket(socket_candidates(environ) if usual is None else usual, named=False)


def _planted(path: Path, uid: int) -> bool:
    """True for a socket in a directory that somebody else made where anyone may: it could be anybody's."""
    try:
        anyone_may = path.parent.parent.stat().st_mode & stat.S_IWOTH
        return bool(anyone_may) and path.parent.lstat().st_uid != uid
    except OSError:  # connecting will say what is wrong
        return False


def _members(gid: int) -> list[str]:
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return []


def denial(path: Path, members: Callable[[int], list[str]] = _members) -> str:
    """Why a socket is closed to us, and what to do: about the first thing on the way that we may not pass."""
    for parent in reversed(path.parents):
        if not os.access(parent, os.X_OK, effective_ids=True):
            return _truth(parent, stat.S_IXGRP, "RuntimeDirectoryMode=0755 in the unit", members)
    return _truth(path, stat.S_IWGRP, 'mode = "0660" and a group under [admin]', members)


def _truth(path: Path, bit: int, setting: str, members: Callable[[int], list[str]]) -> str:
    """Who may pass `path`; `bit` is that of its group, which `setting` would set; `members` are a group's."""
    found = path.stat()
    owner, group, us = _owner(found.st_uid), _group(found.st_gid), _owner(os.geteuid())
    said = (
        f"permission denied: {path} belongs to user {owner} and group {group}, with mode {found.st_mode & 0o7777:04o}"
    )
    if not found.st_mode & bit:
        said += f": its group may not pass, {setting} lets it in"
    elif us in members(found.st_gid):
        said += f": {us} is of that group since after this login, so log in again"
    else:
        said += f": {us} is not of that group; `usermod -aG {group} {us}` and a new login let you in"
    return f"{said}\nuntil then: sudo -u {owner} gatewayctl …"


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
