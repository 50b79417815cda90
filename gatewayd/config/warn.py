"""What a configuration may say, and probably does not mean: found when a file is read, told by `check` and `run`.

Laws: nothing here stops a start.  A warning stands at the key that it is about, and its text says what is wrong and
what to do.  One check is one function of `CHECKS`; it sees a configuration that has no mistake in it.
"""

import grp
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from gatewayd.config import credentials
from gatewayd.config.auth import AuthConfig, StaticConfig
from gatewayd.config.lines import Where
from gatewayd.config.mistakes import Mistake
from gatewayd.config.model import Config, ListenerConfig
from gatewayd.config.spec import ProtocolSpec
from gatewayd.config.structure import fields_of, key_of
from gatewayd.config.values import Secret

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_PLACEHOLDERS = (
    (
        re.compile(r"(?:^|\.)change[-_ ]?me", re.IGNORECASE).search,  # behind a dot: in a token of several parts
        "has change-me in it, as in the documentation",
    ),
    (re.compile(r"\$\{").search, "holds ${, which is not expanded"),
)


@attrs.frozen(kw_only=True)
class Seen:
    """All that a check may look at."""

    config: Config
    data: Mapping[str, Any]
    """The tables as they stand in the file, before anything was filled in."""
    protocols: Mapping[str, ProtocolSpec]
    environ: Mapping[str, str]
    path: Path | None = None
    """The file; None for a text that did not come from one."""

    def listeners(self) -> Iterator[tuple[Where, ListenerConfig]]:
        """Each listener and its place."""
        for index, listener in enumerate(self.config.listeners):
            yield ("listeners", index), listener

    def auth(self, listener: ListenerConfig) -> AuthConfig | None:
        """The auth of a listener; None where everyone may come in."""
        return None if listener.auth is None else self.config.auth[listener.auth]

    def secrets(self) -> Iterator[tuple[Where, str]]:
        """Every secret and its place; one that came from a file has a place, and nothing stands there."""
        return _secrets((), self.config)

    def at(self, where: Where) -> object:
        """What the file says at a place; None where it says nothing."""
        value: Any = self.data
        for step in where:
            try:
                value = value[step]
            except (KeyError, IndexError):
                return None
        return value


Check: TypeAlias = Callable[[Seen], Iterator[Mistake]]


def warnings(seen: Seen) -> list[Mistake]:
    """All that the checks find."""
    return [found for check in CHECKS for found in check(seen)]


def _secrets(where: Where, value: Any) -> Iterator[tuple[Where, str]]:
    if isinstance(value, Secret):
        yield where, value.reveal()
        return
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, tuple):
        inner = enumerate(value)
    elif attrs.has(type(value)):
        inner = ((key_of(field), getattr(value, field.name)) for field in fields_of(type(value)))
    for key, item in inner:
        yield from _secrets((*where, key), item)


# --- who may come in ----------------------------------------------------------------------------------------


def nobody_enters(seen: Seen) -> Iterator[Mistake]:
    """A listener that refuses every client there can be."""
    for where, listener in seen.listeners():
        auth = seen.auth(listener)
        if not isinstance(auth, StaticConfig) or seen.protocols[listener.protocol].guests:
            continue
        if not auth.secrets and auth.secrets_file is None:
            text = (
                f"no client can ever connect: {listener.protocol} asks for a secret, and [auth.{listener.auth}] has "
                "none; add secrets or secrets_file there"
            )
            yield Mistake((*where, "auth"), text)


def everyone_enters(seen: Seen) -> Iterator[Mistake]:
    """A listener without auth that others than this machine can reach."""
    for where, listener in seen.listeners():
        if listener.auth is None and listener.bind.kind == "tcp" and listener.bind.host not in LOOPBACK:
            yield Mistake(where, f"open to everyone who reaches {listener.bind}: set auth")


def api_without_tokens(seen: Seen) -> Iterator[Mistake]:
    """[api] lets nobody in but those who hold a token."""
    if seen.config.api is not None and not seen.config.api.tokens:
        text = 'nobody can use it without tokens; add tokens = [{ name = "…", file = "…", scopes = ["read"] }]'
        yield Mistake(("api",), text)


def unsigned_backend(seen: Seen) -> Iterator[Mistake]:
    """A backend that cannot tell our requests from anybody's."""
    backend = seen.config.backend
    if backend is not None and backend.url is not None and backend.secret is None:
        text = "asked without a signature: set backend.secret, so that the backend can tell who asks"
        yield Mistake(("backend", "url"), text)


# --- secrets ------------------------------------------------------------------------------------------------


def placeholder_secrets(seen: Seen) -> Iterator[Mistake]:
    """One warning for each table with a secret that was never filled in."""
    told: set[Where] = set()
    for where, secret in seen.secrets():
        table = where[:2]
        meanings = [meaning for found, meaning in _PLACEHOLDERS if found(secret)]
        if meanings and table not in told:
            told.add(table)
            yield Mistake(where, f"the secret {meanings[0]}: write one that nobody can guess, or name a file")


def readable_secrets(seen: Seen) -> Iterator[Mistake]:
    """Secrets that stand in a file which every user of the machine can read."""
    if seen.path is None or not stat.S_IMODE(seen.path.stat().st_mode) & stat.S_IROTH:
        return
    inline = [where for where, _ in seen.secrets() if _is_inline(seen.at(where))]
    if inline:
        many = "a secret stands" if len(inline) == 1 else f"{len(inline)} secrets stand"
        text = (
            f"{many} in a file that everyone can read: chmod o-r {seen.path} (its group can be the daemon's), "
            "or keep secrets in files of their own"
        )
        yield Mistake(inline[0], text)


def _is_inline(value: object) -> bool:
    return isinstance(value, str) and not value.startswith(credentials.PREFIX)


def unchecked_credentials(seen: Seen) -> Iterator[Mistake]:
    """Credentials that systemd gives to the service alone, so that only its start can read them."""
    for where, text in _texts((), seen.data):
        if credentials.unchecked(text, seen.environ):
            name = text.removeprefix(credentials.PREFIX)
            what = f"credential {name!r} is not checked: systemd gives it to the service alone"
            yield Mistake(where, f"{what}; see that its unit has LoadCredential={name}:PATH")


def _texts(where: Where, value: object) -> Iterator[tuple[Where, str]]:
    if isinstance(value, str):
        yield where, value
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _texts((*where, key), item)


# --- the machine --------------------------------------------------------------------------------------------


def missing_group(seen: Seen) -> Iterator[Mistake]:
    """[admin] group, on a machine that has no such group."""
    group = seen.config.admin.group
    if group is None:
        return
    try:
        grp.getgrnam(group)
    except KeyError:
        text = f"there is no group {group!r} here, and the start needs it: groupadd --system {group}, or leave it out"
        yield Mistake(("admin", "group"), text)


def missing_parent(seen: Seen) -> Iterator[Mistake]:
    """A state_dir that cannot be made, since what it stands in is not there, or something else is in its place."""
    state_dir = seen.config.gateway.state_dir
    parent = Path(state_dir).absolute().parent
    if state_dir and os.path.exists(state_dir) and not os.path.isdir(state_dir):
        yield Mistake(("gateway", "state_dir"), "is not a directory: give it another path, or move the file away")
    elif state_dir and not parent.is_dir():
        text = f"its parent {parent} is not there, and the daemon does not create it: mkdir -p {parent}"
        yield Mistake(("gateway", "state_dir"), text)


# --- what shares what ---------------------------------------------------------------------------------------


def shared_documents(seen: Seen) -> Iterator[Mistake]:
    """An oxyl cache that writes the very documents which a dmod listener serves."""
    writers = {(item.realm, _prefix(item)): item.name for _, item in seen.listeners() if item.protocol == "oxyl"}
    for where, listener in seen.listeners():
        place = listener.realm, _prefix(listener)
        if listener.protocol == "dmod" and place in writers:
            text = (
                f"shares the documents prefix {_prefix(listener)!r} with listener {writers[place]} (oxyl), "
                "whose clients write the guild: and member: documents that this one serves: "
                "set options.documents on one of them"
            )
            yield Mistake(where, text)


def _prefix(listener: ListenerConfig) -> str:
    return str(getattr(listener.options, "documents", ""))


def mixed_realms(seen: Seen) -> Iterator[Mistake]:
    """Listeners of one realm whose auths differ in kind: clients of the easier one reach those of the other."""
    first: dict[str, ListenerConfig] = {}
    for where, listener in seen.listeners():
        other = first.setdefault(listener.realm, listener)
        if _kind(seen, other) != _kind(seen, listener):
            text = (
                f"is in realm {listener.realm!r} with listener {other.name}, whose auth is of another kind "
                f"({_kind(seen, listener)} here, {_kind(seen, other)} there): clients of the easier "
                "one reach those of the other; give one of them a realm of its own"
            )
            yield Mistake(where, text)


def keys_to_two_realms(seen: Seen) -> Iterator[Mistake]:
    """A secret that stands in two auths, whose listeners are in realms apart: its holder is of both."""
    first: dict[str, ListenerConfig] = {}
    for where, listener in seen.listeners():
        auth = seen.auth(listener)
        for secret in auth.secrets if isinstance(auth, StaticConfig) else ():
            other = first.setdefault(secret.reveal(), listener)
            if other.realm != listener.realm and other.auth != listener.auth:
                text = (
                    f"a secret of [auth.{listener.auth}] also opens listener {other.name}, in realm {other.realm!r}: "
                    "its holder can connect to both; give each realm secrets of its own"
                )
                yield Mistake((*where, "auth"), text)
                break


def _kind(seen: Seen, listener: ListenerConfig) -> str:
    auth = seen.auth(listener)
    return "open" if auth is None else auth.kind


CHECKS: tuple[Check, ...] = (
    nobody_enters,
    everyone_enters,
    api_without_tokens,
    unsigned_backend,
    placeholder_secrets,
    readable_secrets,
    unchecked_credentials,
    missing_group,
    missing_parent,
    shared_documents,
    mixed_realms,
    keys_to_two_realms,
)
"""A new check is a function here; it needs no other place."""
