"""Run clients that nobody here wrote, unmodified, against the default listeners and against configured ones.

    DISCODOJS=… DMOD=… ANONROOM=… python -m tests.clients   # the paths of checkouts of those that no registry has
    python -m tests.clients --quick                         # what CI runs
    python -m tests.clients discodo ws
    python -m tests.clients discord.js --case zombie --case killed

Who is not given is skipped in words. Packages are installed once, into `--into`. Exit code: 0, or 1 when a
conversation failed or a client that was named could not be run. `docs/clients.md` says what the clients are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.clients import install
from tests.clients.bots.run import LIBRARIES, Installed, Library, run
from tests.clients.install import Failed, Missing
from tests.clients.site import KINDS, site

PEERS = Path(__file__).parent / "peers"
SECONDS = 90.0


@frozen
class Client:
    """One client: the command that runs it, once it is installed, and where it has to be given, in which variable."""

    command: Callable[[Path], Sequence[object]]
    given: str | None = None
    holds: str = ""
    """A file of the checkout, to know it by."""
    quick: bool = False


def _node(script: str, packages: str) -> Callable[[Path], Sequence[object]]:
    return lambda into: ("env", f"NODE_PATH={install.modules(into, packages)}", "node", PEERS / script)


CLIENTS = {
    "websockets": Client(lambda into: (sys.executable, PEERS / "conversations.py"), quick=True),
    "ws": Client(_node("conversations.cjs", "ws"), quick=True),
    "discodo": Client(lambda into: (install.discodo(into), PEERS / "discodo_client.py"), quick=True),
    "discodo.js": Client(_node("discodojs.cjs", "discodojs"), "DISCODOJS", "src/DJSClient.js"),
    "dmod": Client(_node("dmod.cjs", "pages"), "DMOD", "websocket/index.ts"),
    "anonroom": Client(_node("anonroom.cjs", "pages"), "ANONROOM", "src/client/scripts/websocket/WebSocketClient.ts"),
}


def _cannot(client: Client) -> str | None:
    """Why a client cannot be run; None when it can, as far as can be told before it is installed."""
    if client.given is None:
        return None
    path = os.environ.get(client.given)
    if path is None:
        return f"set {client.given} to a checkout of it (docs/clients.md)"
    return None if (Path(path) / client.holds).is_file() else f"there is no {client.holds} in {client.given}={path}"


def _talk(command: Sequence[object], environment: dict[str, str]) -> str | None:
    """Run one client to its end; what it said when it failed."""
    try:
        done = subprocess.run(
            list(map(str, command)), env={**os.environ, **environment}, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return f"not done in {SECONDS:g} s\n{late.stdout or b''!r}{late.stderr or b''!r}"
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def main() -> int:
    """Run what was asked for; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients")
    every: dict[str, Client | Library] = {**CLIENTS, **LIBRARIES}
    parser.add_argument("names", nargs="*", metavar="CLIENT", help=f"of {', '.join(every)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="those that a registry has and that take seconds")
    parser.add_argument("--case", action="append", default=[], help="of a library of Discord's bots: only this one")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--into", type=Path, default=cache / "gatewayd-clients", help="where packages are installed")
    args = parser.parse_args()
    if unknown := set(args.names) - every.keys():
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    commands: dict[str, Sequence[object]] = {}
    libraries: dict[str, Installed] = {}
    failed = False
    for name in args.names or [name for name, client in every.items() if client.quick or not args.quick]:
        start = time.monotonic()
        try:
            client = every[name]
            if isinstance(client, Library):
                libraries[name] = client.install(args.into.absolute())
            elif (why := _cannot(client)) is not None:
                raise Missing(why)
            else:
                commands[name] = client.command(args.into.absolute())
        except Missing as missing:
            print(f"{name:<20} skipped: {missing}")
            failed = failed or bool(args.names)
        except Failed as wrong:
            print(f"{name:<20} FAILED: {wrong}")
            failed = True
        else:
            print(f"{name:<20} there, after {time.monotonic() - start:.1f} s", flush=True)
    return int(_conversations(commands) + (not run(libraries, quick=args.quick, only=args.case)) + failed > 0)


def _conversations(commands: Mapping[str, Sequence[object]]) -> int:
    """Each client with each site; how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="gatewayd-clients-") as folder:
        for kind in KINDS if commands else ():
            with site(kind, Path(folder) / kind) as environment:
                for name, command in commands.items():
                    start = time.monotonic()
                    said = _talk(command, environment)
                    word = "FAILED" if said else "ok"
                    print(f"{name:<20} {kind:<18} {word:<7} {time.monotonic() - start:5.1f} s", flush=True)
                    if said:
                        failed += 1
                        print(said)
    return failed


if __name__ == "__main__":
    sys.exit(main())
