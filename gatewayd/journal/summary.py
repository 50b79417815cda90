"""A look into a journal that may be in use, for whoever checks a configuration: whose is what is kept in it?

Law: nothing is changed, and nothing has to be there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from gatewayd.config.limits import JournalLimits
from gatewayd.core.record import Table
from gatewayd.journal.opening import Opening, looking, number
from gatewayd.journal.tables import COLUMNS

_OF_EVENTS = "json_extract(iif(json_valid(value), value, '{}'), '$.realm')"


def rows_by_realm(state_dir: Path, limits: JournalLimits = JournalLimits()) -> Mapping[str, Mapping[str, int]]:
    """By realm, how many rows there are of what; empty where there is no journal that this user can read."""
    opening = Opening(state_dir, limits=limits)
    if not opening.path.exists():
        return {}
    found: dict[str, dict[str, int]] = {}
    try:
        with closing(opening.attach(opening.path, looking(opening.path))) as connection:
            if number(connection, "user_version") < 2:  # of a version without realms
                return {}
            for table in (*(table for table in Table if COLUMNS[table][0] == "realm"), Table.EVENTS):
                realm = _OF_EVENTS if table is Table.EVENTS else "realm"
                for name, count in connection.execute(f"SELECT {realm}, count(*) FROM {table} GROUP BY 1"):
                    if name:
                        found.setdefault(name, {})[table.value] = count
    except (sqlite3.Error, OSError):  # not ours, or damaged: the start says so
        return {}
    return found
