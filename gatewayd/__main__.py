"""The `gatewayd` command: run, check, config, protocols."""

from __future__ import annotations

import sys

from gatewayd import __version__
from gatewayd.daemon import stopping

if sys.argv[1:2] == ["run"] and (__name__ == "__main__" or sys.argv[0].endswith("gatewayd")):
    stopping.exit_when_told()  # now: the imports below take most of a start

import argparse
import gc
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import trio

from gatewayd.config.credentials import outside_the_unit
from gatewayd.config.embedded import default_toml, embedded_default
from gatewayd.config.find import find, runtime_socket, socket_candidates
from gatewayd.config.load import ConfigError, load
from gatewayd.config.model import Config
from gatewayd.config.show import dump
from gatewayd.core.protocol import Protocol
from gatewayd.daemon.build import StartError, build
from gatewayd.daemon.descriptors import raise_limit
from gatewayd.daemon.log import logging_to_stderr
from gatewayd.daemon.run import Daemon
from gatewayd.daemon.view import url
from gatewayd.journal.summary import rows_by_realm
from gatewayd.protocols import describe
from gatewayd.protocols.registry import installed

DONE, FAILED, BAD_CONFIG = 0, 1, 2
CONFIG_HELP = (
    "the TOML file (default: $GATEWAYD_CONFIG, ./gatewayd.toml, /etc/gatewayd/gatewayd.toml, or built-in defaults)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 the start was stopped, 2 the configuration or the usage is wrong."""
    args = _parser({}).parse_args(argv)
    protocols = installed()
    try:
        code: int = args.act(args, protocols)
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return BAD_CONFIG
    except StartError as exc:
        print(f"gatewayd: {exc}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader of our output has left; say nothing more
        return DONE
    return code


def run() -> None:
    """The console script."""
    sys.exit(main())


def commands() -> Mapping[str, argparse.ArgumentParser]:
    """The parser of each command, for the manual."""
    found: dict[str, argparse.ArgumentParser] = {}
    _parser(found)
    return found


def _parser(found: dict[str, argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The whole parser; those of the commands are put into `found`."""
    parser = argparse.ArgumentParser(prog="gatewayd", description="Many gateway protocols over WebSocket, one daemon.")
    parser.add_argument("--version", action="version", version=f"gatewayd {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def verb(name: str, act: object, text: str) -> argparse.ArgumentParser:
        sub = found[name] = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(act=act)
        return sub

    run_ = verb("run", _run, "serve until SIGTERM or SIGINT")
    run_.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"], help="the least that is logged"
    )
    check = verb(
        "check", _check, "read the configuration and report every mistake in it, and what is probably unintended"
    )
    check.add_argument("--strict", action="store_true", help="exit with 2 for warnings, too")
    show = verb("config", _config, "print the default or the effective configuration as TOML")
    show.add_argument("which", choices=["default", "show"], help="what to print")
    for sub in (run_, check, show):
        sub.add_argument("--config", metavar="PATH", help=CONFIG_HELP)
    about = verb("protocols", _protocols, "print opcodes, timings, close codes and the state diagram")
    about.add_argument("name", nargs="?", metavar="NAME", help="of this protocol; without it, list the protocols")
    about.add_argument("--diagram", action="store_true", help="the state machine as a Mermaid diagram")
    return parser


def _load(
    args: argparse.Namespace, protocols: Mapping[str, Protocol], environ: Mapping[str, str] = os.environ
) -> tuple[Config, dict[str, str], Path | None]:
    """The configuration, the secrets to be shown once (embedded default only), and the file it came from."""
    path = find(args.config, environ, Path.cwd())
    if path is None:
        return *embedded_default(protocols), None
    return load(path, protocols, environ=environ), {}, path


def _run(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    config, secrets, path = _load(args, protocols)
    place = config.admin.socket
    admin_socket = Path(place) if place is not None else runtime_socket(os.environ)
    with logging_to_stderr(getattr(logging, args.log_level.upper()), config.limits.daemon.log_records):
        for warning in config.warnings:
            logging.getLogger("gatewayd").warning("%s", warning.replace(": warning: ", ": ", 1))  # its level says so
        daemon = Daemon(build(config, protocols, descriptors=raise_limit()), admin_socket)
        with stopping.held():
            daemon.prepare(os.environ)
            _tune_collector()
            announce = partial(_announce, config, protocols, secrets, path, admin_socket)
            trio.run(daemon.run, announce, clock=daemon.node.clock)
    return DONE


def _tune_collector() -> None:
    """Spare the collector what never becomes garbage, and let it run less often.

    What is loaded by now stays; and a client is some eighty objects that live for hours, so that the usual thresholds
    walk over everybody again and again while clients connect (a third of the cost of a connect).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _announce(
    config: Config, protocols: Mapping[str, Protocol], secrets: Mapping[str, str], path: Path | None, admin: Path
) -> None:
    """One table: what listens where, and how to authenticate. Flushed before the first client is accepted."""
    rows = []
    for listener in config.listeners:
        protocol = protocols[listener.protocol]
        if listener.name in secrets:
            login = protocol.login.format(secret=secrets[listener.name])
        else:
            login = f"auth {listener.auth}" if listener.auth else "open to everyone"
        rows.append((listener.name, listener.protocol, url(listener, protocol.path), login))
    source = (
        str(path) if path is not None else "built-in development defaults, loopback only; secrets are new at each start"
    )
    print(f"gatewayd {__version__}: {source}\n")
    print(describe.columns(("LISTENER", "PROTOCOL", "URL", "AUTHENTICATE"), rows))
    named = "" if admin in socket_candidates(os.environ) else f" --socket {admin}"
    print(f"\nadmin socket {admin}  (try: gatewayctl{named} status)", flush=True)


def _check(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    config, _, path = _load(args, protocols, outside_the_unit(os.environ))
    warnings = [*config.warnings, *_left_over(config)]
    for warning in warnings:
        print(warning, file=sys.stderr)
    found = f", {_counted(len(warnings), 'warning')}" if warnings else ""
    print(f"{path or 'embedded default'}: ok, {_counted(len(config.listeners), 'listener')}{found}")
    print("\n".join(describe.realms((item.realm, item.name, item.protocol) for item in config.listeners)))
    return BAD_CONFIG if args.strict and warnings else DONE


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _left_over(config: Config) -> Iterator[str]:
    """What the journal keeps for realms that no listener has."""
    state_dir = config.gateway.state_dir
    realms = {listener.realm for listener in config.listeners}
    for name, counts in rows_by_realm(Path(state_dir), config.limits.journal).items() if state_dir else ():
        if name not in realms:
            rows = ", ".join(f"{count} {table}" for table, count in counts.items())
            yield f"{state_dir}: warning: the journal keeps {rows} for realm {name!r}, in which there is no listener"


def _config(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    print(default_toml() if args.which == "default" else dump(_load(args, protocols)[0]), end="")
    return DONE


def _protocols(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    if args.name is None:
        print(describe.overview(protocols))
        return DONE
    if args.name not in protocols:
        print(f"gatewayd: no protocol {args.name!r}; there are {', '.join(protocols)}", file=sys.stderr)
        return BAD_CONFIG
    print(describe.describe(protocols[args.name], with_diagram=args.diagram))
    return DONE


if __name__ == "__main__":
    run()
