"""The services of the node by type: their sessions, what each reports of itself, and the totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from gatewayd.admin.views import moment

if TYPE_CHECKING:
    from gatewayd.core.behaviour import Behaviour
    from gatewayd.core.session import Session
    from gatewayd.hub.realm import Realm

Row = dict[str, Any]


async def services(realms: Iterable[Realm], sessions: list[Session], in_a_row: int) -> list[Row]:
    """One row for each type of service in these realms. Figures are summed, lists are joined."""
    by_listener = {name: behaviour for realm in realms for name, behaviour in realm.behaviours.items()}
    rows: dict[tuple[str, str, str], Row] = {}

    def row(behaviour: Behaviour[Any], kind: str) -> Row:
        protocol, realm = behaviour.port.protocol, behaviour.port.realm
        made = {"type": kind, "protocol": protocol, "realm": realm, "sessions": []}
        return rows.setdefault((realm, protocol, kind), made)

    for behaviour in by_listener.values():
        for kind in behaviour.service_types():
            row(behaviour, kind)
    for start in range(0, len(sessions), in_a_row):
        for session in sessions[start : start + in_a_row]:
            owner = by_listener.get(session.listener)
            if owner is not None and (report := owner.service(session)) is not None:
                _add(row(owner, report["type"]), session, {name: report[name] for name in report if name != "type"})
        await trio.lowlevel.checkpoint()
    return [rows[key] for key in sorted(rows)]


def _add(row: Row, session: Session, report: Mapping[str, Any]) -> None:
    row["sessions"].append(
        {
            "id": session.id,
            "listener": session.listener,
            "identity": session.identity,
            "state": session.state,
            "remote": session.remote,
            "opened": moment(session.opened_wall),
            **report,
        }
    )
    for name, value in report.items():
        row[name] = sorted([*row.get(name, ()), *value]) if isinstance(value, list) else row.get(name, 0) + value
