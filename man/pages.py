"""What stands in each page: options from the parsers, keys and defaults from the configuration, and words between."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gatewayd import __version__
from gatewayd.__main__ import commands
from gatewayd.config.find import SYSTEM_CONFIG
from gatewayd.ctl.parser import SHOWN, verbs
from gatewayd.protocols.registry import PROTOCOLS
from man.keys import TABLES, Key, keys, timings
from man.roff import Page, bold, plain

SHARED = ("-h", "--socket", "--json", "--timeout", "--version", "--print-completion")
"""Options that are told once."""


def gatewayd() -> str:
    """gatewayd(1)."""
    page = Page("gatewayd", 1, __version__, "gatewayd")
    page.section("Name", "gatewayd - many Discord-style gateway protocols over WebSocket, one daemon")
    parsers = commands()
    _synopsis(page, parsers.values())
    page.section(
        "Description",
        f"`gatewayd run` serves clients of {_and(list(PROTOCOLS))} over WebSocket: hello, heartbeat, identify, "
        "ready, resumed. Applications publish events to their sessions, users, rooms, guilds and services; a client "
        "that loses its connection comes back to the same session and gets what it missed. gatewayctl(1) shows and "
        "steers all live sessions.",
        "Without a configuration every protocol is served on loopback, with secrets that are new at each start and "
        "shown once. gatewayd.toml(5) describes the configuration.",
    )
    page.section("Commands")
    for name, parser in parsers.items():
        page.subsection(f"gatewayd {name}", _sentence(parser))
        page.items(_options(parser, ("-h",)))
    page.section(
        "Configuration",
        "The file is looked for in this order: `--config` PATH, $GATEWAYD_CONFIG, `./gatewayd.toml`, "
        f"`{SYSTEM_CONFIG}`, then the defaults that `gatewayd config default` prints.",
        "`gatewayd check` reports every mistake with its file, line and key. What is allowed but probably unintended, "
        "such as a secret that is still change-me, is a warning: it does not stop a start, `run` logs it, and "
        "`check --strict` exits with 2. Root can check the credentials of a running gatewayd.service; otherwise a "
        "`credential:NAME` is a warning, because systemd gives it to the service only.",
    )
    page.section("Signals")
    page.items(
        (bold(name), text)
        for name, text in (
            (
                "SIGTERM, SIGINT",
                "Stop: refuse newcomers with 503, tell every client, wait for shutdown_grace, exit with 0.",
            ),
            ("a second one", "Stop now."),
            (
                "SIGHUP",
                "After the terminal was closed, as SIGTERM; otherwise it is logged, and the file is not read again.",
            ),
        )
    )
    page.section("Exit status")
    page.items(
        (bold(code), text)
        for code, text in (
            ("0", "done; of `run`, after SIGTERM or SIGINT"),
            ("1", "something prevented the start: a port in use, a journal that cannot be read"),
            ("2", "a mistake in the configuration or in the command; of `check --strict`, a warning"),
        )
    )
    page.section("Environment")
    page.items(
        (bold(name), text)
        for name, text in (
            ("GATEWAYD_CONFIG", "The configuration file."),
            ("CREDENTIALS_DIRECTORY", "Where credential:NAME is read from; set by systemd (LoadCredential=)."),
            ("RUNTIME_DIRECTORY, XDG_RUNTIME_DIR", "Where the admin socket is made unless [admin] names it."),
            ("LISTEN_FDS, LISTEN_FDNAMES", 'Sockets of systemd, for bind = "systemd:NAME".'),
            ("NOTIFY_SOCKET, WATCHDOG_USEC", "Where systemd is told that the daemon is ready and alive."),
        )
    )
    page.section("See also", "`gatewayctl`(1), `gatewayd.toml`(5)")
    return page.text()


def gatewayctl() -> str:
    """gatewayctl(1)."""
    page = Page("gatewayctl", 1, __version__, "gatewayd")
    page.section("Name", "gatewayctl - watch and steer a running gatewayd")
    parsers = verbs()
    whole = parsers.pop("")
    page.section("Synopsis")
    page.say("`gatewayctl` [--socket PATH] [--json] [--timeout TIME] VERB ...")
    page.section(
        "Description",
        "gatewayctl asks the admin socket of gatewayd(1). On a terminal its tables fit the screen; into a pipe, lists "
        "are separated by tabs and nothing is shortened; with `--json` it prints what the API said.",
        "The file mode and group of the socket decide who may use it: [admin] in gatewayd.toml(5).",
    )
    page.section("Options")
    page.say("These may be given before or after the verb.")
    page.items(_options(whole, ()))
    page.section("Verbs")
    for name, parser in parsers.items():
        page.subsection(f"gatewayctl {name}", _sentence(parser))
        _usage(page, parser)
        page.items(_options(parser, SHARED))
        if name == "show":
            page.say("Among other things it shows:")
            page.items((bold(field), _dotted(meaning)) for field, meaning in SHOWN.items())
    page.section("Exit status")
    page.items(
        (bold(code), text)
        for code, text in (
            ("0", "done"),
            ("1", "refused by the daemon, or not found"),
            ("2", "a mistake in the command"),
            ("3", "no daemon answers"),
        )
    )
    page.section("Environment")
    page.items(
        (bold(name), text)
        for name, text in (
            ("GATEWAYD_SOCKET", "The admin socket, unless --socket names it."),
            ("COLUMNS, LINES, NO_COLOR, TERM", "How tables are drawn on a terminal."),
        )
    )
    page.section(
        "Files",
        "Unless it is named, the socket is the first on which a daemon listens of `$RUNTIME_DIRECTORY/admin.sock`, "
        "`/run/gatewayd/admin.sock`, `$XDG_RUNTIME_DIR/gatewayd/admin.sock` and `/tmp/gatewayd-UID/admin.sock`.",
    )
    page.section("Examples")
    page.verbatim(
        "gatewayctl sessions --state detached --sort -age\n"
        'gatewayctl publish user:7 GREETING \'{"hello": "you"}\' --wait written\n'
        "gatewayctl room set 42 roomLocked=true maxParticipants=5\n"
        "gatewayctl --json sessions --all | jq -r '.sessions[].identity'\n"
        'eval "$(gatewayctl --print-completion bash)"'
    )
    page.section("See also", "`gatewayd`(1), `gatewayd.toml`(5)")
    return page.text()


def gatewayd_toml() -> str:
    """gatewayd.toml(5)."""
    page = Page("gatewayd.toml", 5, __version__, "gatewayd")
    page.section("Name", "gatewayd.toml - configuration of gatewayd")
    page.section(
        "Description",
        "A file in TOML. An unknown key is a mistake, and a daemon with a mistake in its file does not start; "
        "`gatewayd check` reports all of them. `gatewayd config default` prints a file to start from, and "
        "`gatewayd config show` the values in effect.",
    )
    page.section("Values")
    page.items(
        (bold(name), text)
        for name, text in (
            ("time", 'Text such as "500ms", "30s", "5m" or "1h", or a number of seconds.'),
            ("rate", 'Text such as "120/60s": at most so many in that time.'),
            ("address", '"HOST:PORT", "[IPv6]:PORT", "unix:/path", or "systemd:NAME" (socket activation).'),
            (
                "secret",
                'Text, or "credential:NAME" for a credential of systemd. Instead of a key x that holds one secret, '
                "x_file may name a file that others cannot read.",
            ),
        )
    )
    for title, classes in TABLES.items():
        page.section(title)
        for heading, cls, words in classes:
            if heading:
                page.subsection(heading)
            page.say(words)
            page.items((_term(key), key.text) for key in keys(cls))
    page.section("Protocols", "A key that a listener leaves out has its protocol's default, then that of [limits].")
    for protocol in PROTOCOLS.values():
        page.subsection(protocol.name, f"{protocol.summary[:1].upper()}{protocol.summary[1:]}.", timings(protocol))
        page.say(f"{str(protocol.options.__doc__).rstrip('.')}, under [listeners.options]:")
        page.items((_term(key), key.text) for key in keys(protocol.options))
    page.section("Example")
    page.verbatim(
        '[gateway]\nstate_dir = "/var/lib/gatewayd"\n\n'
        '[auth.fleet]\nkind = "static"\nsecrets_file = "/etc/gatewayd/fleet.secrets"\n\n'
        '[[listeners]]\nname = "bots"\nprotocol = "utilbot"\nbind = "0.0.0.0:7105"\nauth = "fleet"\n'
        'resume_window = "2m"'
    )
    page.section("See also", "`gatewayd`(1), `gatewayctl`(1)")
    return page.text()


def _term(key: Key) -> str:
    default = f" = {plain(key.default)}" if key.default is not None else ""
    return f"{bold(key.name)}{default}  ({plain(key.kind)})"


def _synopsis(page: Page, parsers: Iterable[argparse.ArgumentParser]) -> None:
    page.section("Synopsis")
    for parser in parsers:
        _usage(page, parser)


def _usage(page: Page, parser: argparse.ArgumentParser) -> None:
    """How a command is typed, without the options that every one has."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    for shared in ("[-h] ", "[--socket PATH] ", "[--json] ", "[--timeout TIME] "):
        usage = usage.replace(shared, "")
    for line in usage.split(f" {parser.prog} "):
        page.say(f"`{parser.prog}` {line.removeprefix(parser.prog).strip()}")


def _sentence(parser: argparse.ArgumentParser) -> str:
    return _dotted(parser.description or "")


def _dotted(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _options(parser: argparse.ArgumentParser, left_out: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Arguments and options with their help, in the words of --help."""
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=200, width=10_000
    )
    section = ""
    for line in parser.format_help().splitlines():
        if line.endswith(":") and not line.startswith(" "):
            section = line
        elif line.startswith("  ") and section in ("options:", "positional arguments:"):
            invocation, _, text = line.strip().partition("  ")
            if not invocation.split(",")[0].split()[0].startswith(tuple(left_out) or ("\0",)):
                yield bold(invocation), _dotted(text)


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


PAGES: Mapping[str, Callable[[], str]] = {
    "gatewayd.1": gatewayd,
    "gatewayctl.1": gatewayctl,
    "gatewayd.toml.5": gatewayd_toml,
}
