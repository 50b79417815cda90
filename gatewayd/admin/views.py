"""Sessions, channels and rooms as JSON values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gatewayd.core.counts import Counts
from gatewayd.core.session import Session
from gatewayd.hub.realm import Realm


def moment(wall: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session(item: Session, now: float, *, whole: bool = False) -> dict[str, Any]:
    """One session; `whole` adds what only `show` needs. Ages in seconds, sizes in bytes."""
    client = item.connection
    view: dict[str, Any] = {
        "id": item.id,
        "listener": item.listener,
        "protocol": item.protocol,
        "realm": item.realm,
        "state": item.state,
        "identity": item.identity,
        "remote": item.remote,
        "opened": moment(item.opened_wall),
        "age": round(now - item.opened, 3),
        "channels": len(item.channels),
        "outbox": {"events": client.outbox.events, "bytes": client.outbox.size} if client else None,
        "missed": {"events": missed(item), "bytes": 0 if client else item.backlog.bytes},
        "delivered": delivered(item),
        "lost": item.backlog.lost,
        "latency": client.latency if client else None,
    }
    if whole:
        view["channels"] = sorted(item.channels)
        view |= {
            "sequence": item.lifecycle_sequence,
            "given": item.backlog.given,
            "written": item.backlog.written,
            "acknowledged": item.backlog.acknowledged,
            "gaps": item.backlog.gaps,
            "metadata": item.metadata,
            "generation": item.generation,
            "resumes": item.resumes,
            "resumable": item.resumable,
            "resume_window": item.backlog.max_age,
            "expires_in": None if item.detached_at is None else round(item.detached_at + item.backlog.max_age - now, 3),
            "login_expires_in": None
            if item.grant is None or item.grant.until is None
            else round(item.grant.until - now, 3),
            "client": None
            if client is None
            else {
                "connected_for": round(now - client.opened, 3),
                "heartbeats": client.beats,
                "received": client.received,
                "last_heard_ago": round(now - client.last_heard, 3),
                "dead_in": round(client.alive_until - now, 3) if client.judged else None,
                "variant": client.variant,
                "codec": None if client.codec is None else client.codec.name,
                "codec_bytes": 0 if client.codec is None else client.codec.memory,
            },
        }
    return view


def missed(item: Session) -> int:
    """Events that wait for its next client; those that wait for the client that it has are in that one's outbox."""
    return len(item.backlog) if item.connection is None else 0


def delivered(item: Session) -> int:
    """Events that its clients' sockets have taken."""
    backlog = item.backlog
    skipped = sum(last - first + 1 for first, last in backlog.skipped)
    return max(0, backlog.given - len(backlog) - backlog.lost - skipped)


def counts(item: Counts) -> dict[str, Any]:
    """What became of an event; the reasons only where something was dropped, the number only where it has one."""
    view: dict[str, Any] = {"delivered": item.delivered, "buffered": item.buffered, "dropped": item.dropped}
    if item.dropped:
        view["reasons"] = item.reasons
    if item.number:
        view["number"] = item.number
    return view


def room(realm: Realm, name: str) -> dict[str, Any] | None:
    """A room's state, who is in it (detached ones too), and who may not come back."""
    state = realm.rooms.state(name)
    if state is None:
        return None
    inside = [item.metadata.get("participant") for item in realm.subscribers(f"room:{name}")]
    return {"id": name, "state": dict(state), "participants": [p for p in inside if p], "bans": realm.rooms.bans(name)}
