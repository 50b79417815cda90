"""The command line of gatewayctl: every verb, option and word of help, for argparse, --help and shell completion."""

import argparse
import re
from collections.abc import Callable, Sequence

from gatewayd import __version__

SHELLS = ("bash", "zsh", "tcsh")
FILE = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # what shtab.FILE means, without importing shtab
GOALS = ("written", "acknowledged")
FILTERS = {
    "listener": "sessions of this listener",
    "realm": "sessions of this realm",
    "protocol": "sessions that speak this protocol",
    "state": "sessions in this state, such as ready or detached",
    "channel": "sessions that hear this channel",
    "identity": "sessions of this identity",
    "remote": "sessions from this address",
}
COLUMNS = (
    "id", "listener", "protocol", "realm", "state", "identity", "remote", "age", "channels", "queued",
    "delivered", "lost", "latency",
)  # fmt: skip
SORTS = (
    "id", "opened", "age", "listener", "protocol", "realm", "state", "identity", "remote", "channels", "outbox",
    "missed", "delivered", "lost", "latency",
)  # fmt: skip
"""What the API can sort sessions by."""
ROOM_ACTIONS = {
    "create": "create a room",
    "show": "a room's state",
    "set": "change a room's state, and tell everybody in it",
    "close": "close a room",
}
SHOWN = {
    "outbox": "frames that wait for the socket of its client",
    "missed": "events that wait for its next client",
    "delivered": "how many events a socket has taken",
    "lost": "how many events it will never get",
    "sequence": "its newest lifecycle event: opened, detached, resumed, ended",
    "given": "its newest event; each session numbers its own, from 1",
    "written": "a socket has taken every event up to this one, lost ones aside",
    "acknowledged": "as written, but shown by its client; - if that has no way to",
    "gaps": "lost events that its client has still to be told of, by reason",
    "generation": "how many clients it has had, this one included",
}
"""What is not plain from its name in the answer of `show`."""
EPILOG = """\
exit codes: 0 done, 1 refused or not found, 2 usage, 3 daemon not reachable

The socket is --socket, $GATEWAYD_SOCKET, or the first where a daemon listens
of $RUNTIME_DIRECTORY/admin.sock, /run/gatewayd/admin.sock,
$XDG_RUNTIME_DIR/gatewayd/admin.sock and /tmp/gatewayd-UID/admin.sock."""

ID_HELP = "the session's id, or its first six characters or more"

_TIME = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments as values; SystemExit for --help and for what cannot be meant, as argparse does."""
    # The defaults come from here, and the options have none of their own: else the verb's parser, which knows them
    # too, would overwrite what stood before the verb.
    return build().parse_args(_joined(argv), argparse.Namespace(socket=None, json=False, timeout=None))


def _joined(argv: Sequence[str]) -> list[str]:
    """The arguments with `--sort -age` as one word: argparse takes a value that starts with a dash for an option."""
    joined: list[str] = []
    for given in argv:
        if joined and joined[-1] == "--sort" and "--" not in joined and given.startswith("-"):
            joined[-1] += f"={given}"
        else:
            joined.append(given)
    return joined


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The whole parser as "", and that of each verb by its words, for the manual."""
    found: dict[str, argparse.ArgumentParser] = {}
    return {"": build(found), **found}


def build(found: dict[str, argparse.ArgumentParser] | None = None) -> argparse.ArgumentParser:
    """The whole parser; those of the verbs are put into `found`."""
    found = {} if found is None else found
    shared = _shared()
    parser = argparse.ArgumentParser(
        prog="gatewayctl",
        description="Watch and steer a running gatewayd over its admin socket.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gatewayctl {__version__}")
    parser.add_argument(
        "--print-completion", action=_PrintCompletion, choices=SHELLS, help="print the completion script of a shell"
    )
    verbs = _Verbs(parser, "verb", shared, found)

    verbs.add("status", "the node: version, uptime, sessions by state and protocol, events, memory")
    verbs.add("listeners", "every listener with its protocol, URL and load")
    services = verbs.add("services", "types of service, with their sessions, heaps, guilds and shards")
    _realm(services, "of this realm alone")
    _sessions(verbs.add("sessions", "the sessions, living and detached, with filters and pages"))
    show = verbs.add("show", "everything known of one session")
    show.add_argument("id", metavar="ID", type=word, help=ID_HELP)
    show.formatter_class = argparse.RawDescriptionHelpFormatter
    show.epilog = "\n".join(
        ("what it shows, among other things:", *(f"  {name:<14}{text}" for name, text in SHOWN.items()))
    )
    kick = verbs.add("kick", "end a session and close its connection")
    kick.add_argument("id", metavar="ID", type=word, help=ID_HELP)
    kick.add_argument("--reason", metavar="TEXT", type=text, help="why, for the client and the log")
    channels = verbs.add("channels", "the channels, or the sessions that hear one")
    channels.add_argument("name", metavar="NAME", type=word, nargs="?", help="a channel, such as room:42")
    _realm(channels, "of this realm alone")
    _paging(channels, "")
    _publish(verbs.add("publish", "send an event to every session that hears a channel"))
    notify = verbs.add("notify", "send a user a notification: now if there, else kept for later")
    notify.add_argument("user", metavar="USER", type=word, help="the user's id")
    _realm(notify)
    _json(notify, "the notification's data")
    _documents(_Verbs(verbs.add("doc", "read, store or delete a document"), "action", shared, found))
    _rooms(_Verbs(verbs.add("room", "create, look at, change or close a room"), "action", shared, found))
    return parser


def _shared() -> argparse.ArgumentParser:
    """The options that may stand before and after the verb."""
    shared = argparse.ArgumentParser(add_help=False)
    socket = shared.add_argument(
        "--socket", metavar="PATH", default=argparse.SUPPRESS, help="the daemon's admin socket"
    )
    socket.complete = FILE  # type: ignore[attr-defined]  # shtab's way to say so
    shared.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print what the admin API said, for programs"
    )
    shared.add_argument(
        "--timeout",
        metavar="TIME",
        type=time,
        default=argparse.SUPPRESS,
        help="how long to wait for the daemon, such as 5s or 500ms (default: 5s)",
    )
    return shared


def _sessions(parser: argparse.ArgumentParser) -> None:
    for name, meaning in FILTERS.items():
        parser.add_argument(f"--{name}", metavar=name.upper(), type=text, help=meaning)
    parser.add_argument("--sort", metavar="FIELD", type=text, help=f"by {', '.join(SORTS)}; -FIELD turns it around")
    parser.add_argument(
        "--columns",
        metavar="NAME,…",
        type=columns,
        help=f"what to show, of {', '.join(COLUMNS)} (default: what fits)",
    )
    _paging(parser, " (default: 50)")


def _paging(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--limit", metavar="N", type=positive, help=f"how many at most{default}; with --all, in a page")
    parser.add_argument("--cursor", metavar="C", type=text, help="go on where an earlier answer stopped")
    parser.add_argument("--all", action="store_true", help="every page, one after the other")


def _publish(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "gatewayctl publish [-h] [--socket PATH] [--json] [--timeout TIME]\n"
        "                          [--realm REALM] [--wait GOAL] [--id ID]\n"
        "                          CHANNEL EVENT [JSON|-]\n"
        "       gatewayctl publish [-h] [--socket PATH] [--json] [--timeout TIME]\n"
        "                          [--wait GOAL] --ndjson FILE|-"
    )
    parser.add_argument("channel", metavar="CHANNEL", type=word, nargs="?", help="such as room:42, user:9, service:bot")
    parser.add_argument("event", metavar="EVENT", type=word, nargs="?", help="the event's name")
    _json(parser, "the event's data")
    parser.add_argument(
        "--id", metavar="ID", type=word, help="of your choice: the same one again within five minutes publishes nothing"
    )
    _realm(parser, "to this realm; without it, to every one where somebody hears it")
    parser.add_argument(
        "--wait",
        metavar="GOAL",
        choices=GOALS,
        help=f"wait until it is {' or '.join(GOALS)}, for up to --timeout (default: 2s; at most 30s)",
    )
    ndjson = parser.add_argument(
        "--ndjson", metavar="FILE", type=word, help='many: a {"channel", "event", "data"} a line; - is standard input'
    )
    ndjson.complete = FILE  # type: ignore[attr-defined]


KEPT_IN = "of this realm; without it, of the only one that has such a thing"


def _realm(parser: argparse.ArgumentParser, meaning: str = KEPT_IN) -> None:
    parser.add_argument("--realm", metavar="REALM", type=word, help=meaning)


def _documents(actions: "_Verbs") -> None:
    for name, meaning in (("get", "print a document"), ("set", "store a document"), ("delete", "delete a document")):
        action = actions.add(name, meaning)
        action.add_argument("key", metavar="KEY", type=word, help="such as guild:7")
        _realm(action)
        if name == "set":  # never {} by default here: it would replace a document
            action.add_argument("data", metavar="JSON|-", type=text, help="the value; - reads standard input")


def _rooms(actions: "_Verbs") -> None:
    for name, meaning in ROOM_ACTIONS.items():
        action = actions.add(name, meaning)
        action.add_argument("id", metavar="ID", type=word, help="the room's id")
        _realm(action)
        if name == "create":
            _json(action, "the room's state")
        if name == "set":
            action.add_argument(
                "data",
                metavar="JSON|-|KEY=VALUE",
                type=text,
                nargs="+",
                help="what changes: an object, - for standard input, or pairs such as roomLocked=true",
            )


def _json(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument(
        "data", metavar="JSON|-", type=text, nargs="?", help=f"{meaning} (default: {{}}); - reads standard input"
    )


def text(given: str) -> str:
    """An argument that can be sent as UTF-8."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError("it is not UTF-8") from error
    return given


def word(given: str) -> str:
    """An argument that names something: an empty one would ask for the list instead."""
    if not given:
        raise argparse.ArgumentTypeError("it is empty")
    return text(given)


def time(given: str) -> float:
    """A time as seconds."""
    found = _TIME.fullmatch(given)
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if seconds < 0.001:
        raise argparse.ArgumentTypeError(f"expected a time such as 5s, 500ms or 1m, got {given!r}")
    return seconds


def columns(given: str) -> list[str]:
    """Names of columns."""
    names = given.lower().split(",")
    for name in names:
        if name not in COLUMNS:
            from difflib import get_close_matches  # only here: every other start would pay for it

            near = get_close_matches(name, COLUMNS, n=1)
            hint = f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(COLUMNS)}"
            raise argparse.ArgumentTypeError(f"there is no column {name!r}{hint}")
    return names


def positive(given: str) -> int:
    """A count."""
    if not (given.isascii() and given.isdecimal() and int(given)):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {given!r}")
    return int(given)


class _Verbs:
    """The verbs of one parser, each with help and the shared options."""

    def __init__(
        self,
        parser: argparse.ArgumentParser,
        dest: str,
        shared: argparse.ArgumentParser,
        found: dict[str, argparse.ArgumentParser],
    ) -> None:
        self._shared = shared
        self._found = found
        found.pop(parser.prog.partition(" ")[2], None)  # only its actions can be done
        self._add: Callable[..., argparse.ArgumentParser] = parser.add_subparsers(
            dest=dest, metavar=dest.upper(), required=True, title=f"{dest}s"
        ).add_parser

    def add(self, name: str, meaning: str) -> argparse.ArgumentParser:
        description = f"{meaning[0].upper()}{meaning[1:]}."
        verb = self._add(name, help=meaning, description=description, parents=[self._shared], allow_abbrev=False)
        self._found[verb.prog.partition(" ")[2]] = verb
        return verb


class _PrintCompletion(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option_string: str | None = None
    ) -> None:
        import shtab  # only here: every other start would pay for it

        print(shtab.complete(parser, str(values)))
        parser.exit()
