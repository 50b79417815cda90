"""Where the configuration and the admin socket are looked for.

Standard library only: gatewayctl imports this module and must start quickly.
"""

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM_CONFIG = Path("/etc/gatewayd/gatewayd.toml")
SYSTEM_RUNTIME = Path("/run/gatewayd")
SOCKET_NAME = "admin.sock"


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path, *, system: Path = SYSTEM_CONFIG) -> Path | None:
    """The configuration file to load, or None for the embedded default.

    A file that somebody named (`--config`, $GATEWAYD_CONFIG) is returned even where it does not exist: falling back
    to another one in silence would start the wrong daemon.
    """
    named = explicit or environ.get("GATEWAYD_CONFIG")
    if named:
        return cwd / named
    for path in (cwd / "gatewayd.toml", system):
        if os.path.exists(path):  # unlike Path.exists, False where the directory is not ours to enter
            return path
    return None


def runtime_socket(environ: Mapping[str, str], *, system: Path = SYSTEM_RUNTIME) -> Path:
    """Where the daemon binds its admin socket when the configuration names none.

    The directory may not exist yet.  Whoever binds in it makes it with mode 0700 and checks that it is its own: the
    last resort stands in /tmp, where anyone may have made it first.
    """
    candidates = socket_candidates(environ, system=system)
    # What systemd gave is taken as it is; the system's own directory only where we may write.
    if environ.get("RUNTIME_DIRECTORY") or os.access(system, os.W_OK):
        return candidates[0]
    return candidates[1]


def socket_candidates(environ: Mapping[str, str], *, system: Path = SYSTEM_RUNTIME) -> list[Path]:
    """Every default place of the admin socket, in the order in which gatewayctl should try them.

    Wider than `runtime_socket`: an operator may connect to a socket in a directory where they cannot write.
    """
    places = [system, Path(f"/tmp/gatewayd-{os.getuid()}")]
    if user_runtime := environ.get("XDG_RUNTIME_DIR"):
        places.insert(1, Path(user_runtime) / "gatewayd")
    if given := environ.get("RUNTIME_DIRECTORY"):
        places.insert(0, Path(given.split(":")[0]))  # systemd joins several with colons; the first is ours
    return [place / SOCKET_NAME for place in places]
