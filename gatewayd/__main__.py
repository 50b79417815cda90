"""The `gatewayd` command: run, check, config, protocols."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from gatewayd import __version__, describe
from gatewayd.config.embedded import default_toml, embedded_default
from gatewayd.config.find import find, runtime_socket
from gatewayd.config.load import ConfigError, load
from gatewayd.config.model import Config
from gatewayd.config.show import dump
from gatewayd.core.protocol import Protocol
from gatewayd.daemon import Daemon
from gatewayd.log import logging_to_stderr
from gatewayd.parts import StartError, url
from gatewayd.protocols.registry import installed

DONE, FAILED, BAD_CONFIG = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 the start was stopped, 2 the configuration or the usage is wrong."""
    args = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gatewayd", description="Many gateway protocols over WebSocket, one daemon.")
    parser.add_argument("--version", action="version", version=f"gatewayd {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def verb(name: str, act: object, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(act=act)
        return sub

    run_ = verb("run", _run, "serve until SIGTERM or SIGINT")
    run_.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    check = verb("check", _check, "read the configuration and tell every mistake in it")
    show = verb("config", _config, "print the default or the effective configuration as TOML")
    show.add_argument("which", choices=["default", "show"])
    for sub in (run_, check, show):
        sub.add_argument("--config", metavar="PATH", help="the TOML file; the README says where else it is looked for")
    about = verb("protocols", _protocols, "print opcodes, timings, close codes and the state diagram")
    about.add_argument("name", nargs="?", metavar="NAME")
    about.add_argument("--diagram", action="store_true", help="the state machine as a Mermaid diagram")
    return parser


def _load(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> tuple[Config, dict[str, str], Path | None]:
    """The configuration, the secrets to be shown once (embedded default only), and the file it came from."""
    path = find(args.config, os.environ, Path.cwd())
    if path is None:
        return *embedded_default(protocols), None
    return load(path, protocols), {}, path


def _run(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    config, secrets, path = _load(args, protocols)
    place = config.admin.socket
    admin_socket = Path(place) if place is not None else runtime_socket(os.environ)
    with logging_to_stderr(getattr(logging, args.log_level.upper())):
        for warning in _warnings(config):
            logging.getLogger("gatewayd").warning("%s", warning)
        daemon = Daemon(config, protocols, admin_socket)
        daemon.prepare(os.environ)
        _tune_collector()
        trio.run(daemon.run, lambda: _announce(config, protocols, secrets, path, admin_socket))
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
    print(f"\nadmin socket {admin}  (try: gatewayctl status)", flush=True)


def _check(args: argparse.Namespace, protocols: Mapping[str, Protocol]) -> int:
    config, _, path = _load(args, protocols)
    for warning in _warnings(config):
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{path or 'embedded default'}: ok, {len(config.listeners)} listeners")
    return DONE


def _warnings(config: Config) -> list[str]:
    """What is allowed, and probably not meant."""
    found = []
    writers = {_prefix(item.options): item.name for item in config.listeners if item.protocol == "oxyl"}
    for item in config.listeners:
        if item.protocol == "dmod" and _prefix(item.options) in writers:
            found.append(
                f"listeners {writers[_prefix(item.options)]} (oxyl) and {item.name} (dmod) share the documents prefix "
                f"{_prefix(item.options)!r}: clients of the one write the guild: and member: documents that the other "
                "serves; set options.documents on one of them"
            )
        if item.auth is None and item.bind.kind == "tcp" and item.bind.host not in ("127.0.0.1", "::1", "localhost"):
            found.append(f"listener {item.name} is open to everyone who reaches {item.bind}: set auth")
    backend = config.backend
    if backend is not None and backend.url is not None and backend.secret is None:
        found.append("backend.url is asked without a signature: set backend.secret, so that it can tell who asks")
    return found


def _prefix(options: object) -> str:
    return str(getattr(options, "documents", ""))


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
