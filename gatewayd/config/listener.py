"""What a listener leaves out and who fills it, and the rules between listeners; works on tables, before structuring.

Both look at raw tables so that one bad value does not keep the other mistakes from being found.
"""

import os
from collections.abc import Mapping
from typing import Any

import attrs

from gatewayd.config.credentials import credential_path, unchecked
from gatewayd.config.lines import Where
from gatewayd.config.mistakes import Mistake, suggestion
from gatewayd.config.model import OPEN, LimitsConfig, ListenerLimits
from gatewayd.config.spec import TimingSpec
from gatewayd.config.values import Bind, format_seconds, parse_seconds


def fill(
    table: Mapping[str, Any], limits: LimitsConfig, timing: TimingSpec | None, environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[Mistake]]:
    """The listener's table with every default in it: its own keys, else the protocol's, else those of [limits].

    `timing` is None where the protocol is not known; then the classes' own defaults stand in.
    """
    mistakes: list[Mistake] = []
    filled: dict[str, Any] = {field.name: getattr(limits, field.name) for field in attrs.fields(ListenerLimits)}
    if timing is not None:
        filled |= {
            "heartbeat": timing.heartbeat,
            "heartbeat_interval": timing.interval,
            "identify_timeout": timing.identify_timeout,
            "resume_window": timing.resume_window,
            "rate_limit": timing.rate_limit,
        }
        own = {
            "max_message_bytes": timing.max_message_bytes,
            "bytes_per_second": timing.bytes_per_second,
            "burst_bytes": timing.burst_bytes,
        }
        filled |= {name: value for name, value in own.items() if value is not None}
    filled["realm"] = table.get("auth", OPEN)
    filled |= table
    if timing is not None and "heartbeat_tolerance" not in table:
        _fill_tolerance(filled, timing, mistakes)
    _fill_tls(filled, environ, mistakes)
    return filled, mistakes


def _fill_tolerance(filled: dict[str, Any], timing: TimingSpec, mistakes: list[Mistake]) -> None:
    given = filled["heartbeat_interval"]
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        return  # structuring the listener will say so
    try:
        interval = parse_seconds(given)
    except ValueError:
        return
    patience = timing.patience(interval)
    if patience >= interval:
        filled["heartbeat_tolerance"] = patience - interval
    elif interval > 0:
        text = (
            f"longer than the {format_seconds(patience)} of silence that the protocol allows; "
            "set heartbeat_tolerance as well"
        )
        mistakes.append(Mistake(("heartbeat_interval",), text))


def _fill_tls(filled: dict[str, Any], environ: Mapping[str, str], mistakes: list[Mistake]) -> None:
    for key, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        path = filled.get(key)
        if path is None:
            continue
        if filled.get(other) is None:
            mistakes.append(Mistake((key,), f"needs {other} beside it"))
        if not isinstance(path, str) or not path:
            continue  # structuring the listener will say so
        if unchecked(path, environ):
            continue
        try:
            filled[key] = credential_path(path, environ)
        except ValueError as error:
            mistakes.append(Mistake((key,), str(error)))
            continue
        if not (os.path.isfile(filled[key]) and os.access(filled[key], os.R_OK)):
            mistakes.append(Mistake((key,), f"{filled[key]!r} is not a file that this user can read"))


def crossed(data: Mapping[str, Any]) -> list[Mistake]:
    """The rules between tables: names and addresses stand once, and an auth that is named exists."""
    listeners = data.get("listeners")
    auths = data.get("auth", {})
    names: dict[str, Where] = {}
    binds: dict[Bind, Where] = {}
    mistakes: list[Mistake] = []
    api = data.get("api")
    if isinstance(api, dict):
        _claim_bind(("api", "bind"), api.get("bind"), binds, mistakes)
    for index, table in enumerate(listeners if isinstance(listeners, list) else ()):
        if not isinstance(table, dict):
            continue
        where: Where = ("listeners", index)
        _claim_bind((*where, "bind"), table.get("bind"), binds, mistakes)
        if table.get("reuse_port") is True and str(table.get("bind")).startswith(("unix:", "systemd:")):
            mistakes.append(Mistake((*where, "reuse_port"), "only a host:port can be shared; leave it out"))
        if table.get("durability") == "always" and not _state_dir(data):
            text = 'nothing outlives the process without a journal; set state_dir under [gateway], or "none" here'
            mistakes.append(Mistake((*where, "durability"), text))
        name = table.get("name")
        if isinstance(name, str):
            if name in names:
                mistakes.append(Mistake((*where, "name"), f"duplicate name {name!r}, also of {_short(names[name])}"))
            names.setdefault(name, where)
        auth = table.get("auth")
        if isinstance(auth, str) and isinstance(auths, dict) and auth not in auths:
            text = f"there is no [auth.{auth}]{suggestion(auth, auths)}"
            mistakes.append(Mistake((*where, "auth"), text))
    return mistakes


def _state_dir(data: Mapping[str, Any]) -> object:
    gateway = data.get("gateway")
    return gateway.get("state_dir") if isinstance(gateway, dict) else None


def _claim_bind(where: Where, text: object, binds: dict[Bind, Where], mistakes: list[Mistake]) -> None:
    if not isinstance(text, str):
        return
    try:
        bind = Bind.parse(text)
    except ValueError:
        return  # structuring will say so
    if bind.kind == "tcp" and bind.port == 0:
        return  # the kernel gives each its own port
    if bind in binds:
        mistakes.append(Mistake(where, f"duplicate bind {text!r}, also of {_short(binds[bind][:-1])}"))
    binds.setdefault(bind, where)


def _short(where: Where) -> str:
    return f"{where[0]}[{where[1]}]" if len(where) > 1 else str(where[0])
