"""Which events a session gets: Discord's intents (docs.discord.com/developers/events/gateway#gateway-intents) and the
guilds of its shard; and what a message is without its content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from attrs import frozen

if TYPE_CHECKING:
    from gatewayd.core.session import Session

from gatewayd.core.encode import TEXT
from gatewayd.core.events import Event

_MESSAGES = "MESSAGE_CREATE MESSAGE_UPDATE MESSAGE_DELETE"
_REACTIONS = "MESSAGE_REACTION_ADD MESSAGE_REACTION_REMOVE MESSAGE_REACTION_REMOVE_ALL MESSAGE_REACTION_REMOVE_EMOJI"
_POLLS = "MESSAGE_POLL_VOTE_ADD MESSAGE_POLL_VOTE_REMOVE"

INTENTS: Mapping[str, tuple[int, str]] = {
    "GUILDS": (
        0,
        "GUILD_CREATE GUILD_UPDATE GUILD_DELETE GUILD_ROLE_CREATE GUILD_ROLE_UPDATE GUILD_ROLE_DELETE CHANNEL_CREATE "
        "CHANNEL_UPDATE CHANNEL_DELETE CHANNEL_PINS_UPDATE THREAD_CREATE THREAD_UPDATE THREAD_DELETE THREAD_LIST_SYNC "
        "THREAD_MEMBER_UPDATE THREAD_MEMBERS_UPDATE STAGE_INSTANCE_CREATE STAGE_INSTANCE_UPDATE STAGE_INSTANCE_DELETE",
    ),
    "GUILD_MEMBERS": (1, "GUILD_MEMBER_ADD GUILD_MEMBER_UPDATE GUILD_MEMBER_REMOVE THREAD_MEMBERS_UPDATE"),
    "GUILD_MODERATION": (2, "GUILD_AUDIT_LOG_ENTRY_CREATE GUILD_BAN_ADD GUILD_BAN_REMOVE"),
    "GUILD_EXPRESSIONS": (
        3,
        "GUILD_EMOJIS_UPDATE GUILD_STICKERS_UPDATE GUILD_SOUNDBOARD_SOUND_CREATE GUILD_SOUNDBOARD_SOUND_UPDATE "
        "GUILD_SOUNDBOARD_SOUND_DELETE GUILD_SOUNDBOARD_SOUNDS_UPDATE",
    ),
    "GUILD_INTEGRATIONS": (4, "GUILD_INTEGRATIONS_UPDATE INTEGRATION_CREATE INTEGRATION_UPDATE INTEGRATION_DELETE"),
    "GUILD_WEBHOOKS": (5, "WEBHOOKS_UPDATE"),
    "GUILD_INVITES": (6, "INVITE_CREATE INVITE_DELETE"),
    "GUILD_VOICE_STATES": (7, "VOICE_CHANNEL_EFFECT_SEND VOICE_STATE_UPDATE"),
    "GUILD_PRESENCES": (8, "PRESENCE_UPDATE"),
    "GUILD_MESSAGES": (9, f"{_MESSAGES} MESSAGE_DELETE_BULK"),
    "GUILD_MESSAGE_REACTIONS": (10, _REACTIONS),
    "GUILD_MESSAGE_TYPING": (11, "TYPING_START"),
    "DIRECT_MESSAGES": (12, f"{_MESSAGES} CHANNEL_PINS_UPDATE"),
    "DIRECT_MESSAGE_REACTIONS": (13, _REACTIONS),
    "DIRECT_MESSAGE_TYPING": (14, "TYPING_START"),
    "MESSAGE_CONTENT": (15, ""),
    "GUILD_SCHEDULED_EVENTS": (
        16,
        "GUILD_SCHEDULED_EVENT_CREATE GUILD_SCHEDULED_EVENT_UPDATE GUILD_SCHEDULED_EVENT_DELETE "
        "GUILD_SCHEDULED_EVENT_USER_ADD GUILD_SCHEDULED_EVENT_USER_REMOVE",
    ),
    "AUTO_MODERATION_CONFIGURATION": (
        20,
        "AUTO_MODERATION_RULE_CREATE AUTO_MODERATION_RULE_UPDATE AUTO_MODERATION_RULE_DELETE",
    ),
    "AUTO_MODERATION_EXECUTION": (21, "AUTO_MODERATION_ACTION_EXECUTION"),
    "GUILD_MESSAGE_POLLS": (24, _POLLS),
    "DIRECT_MESSAGE_POLLS": (25, _POLLS),
}
"""The bit of each, and its events."""

GUILD_EVENTS = frozenset({"GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"})
"""Their `id` is the guild's."""
MOST_SHARDS = 1 << 16
"""Of one bot; the largest have some thousands."""
HIDDEN = "hidden "
"""Variant of a bot that may not see what others write: followed by its id."""
MESSAGES = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE"})
MESSAGE_CONTENT = 1 << INTENTS["MESSAGE_CONTENT"][0]
EVERY = -1
"""The mask of an event that needs no intent."""
_CONTENT: Mapping[str, Any] = {"content": "", "embeds": [], "attachments": [], "components": []}


def _events() -> dict[str, tuple[int, int]]:
    found: dict[str, list[int]] = {}
    for name, (bit, events) in INTENTS.items():
        for event in events.split():
            found.setdefault(event, [0, 0])[name.startswith("DIRECT_")] |= 1 << bit
    return {event: (in_guild, direct) for event, (in_guild, direct) in found.items()}


EVENTS: Mapping[str, tuple[int, int]] = _events()
"""The intents of which one lets an event pass: in a guild, and outside of any; where the latter is 0, everywhere."""


def bits(value: object) -> int:
    """Intents as a number: given so, or as a name, or as a list of names. Raises `ValueError`."""
    if type(value) is int and value >= 0:
        return value
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise ValueError(  # noqa: TRY004  # configuration is judged by it
            "intents are a number of 0 or more, a name like GUILD_MESSAGES, or a list of names"
        )
    total = 0
    for name in names:
        if not isinstance(name, str) or name not in INTENTS:
            raise ValueError(f"there is no intent {name!r}; there are {', '.join(INTENTS)}")
        total |= 1 << INTENTS[name][0]
    return total


def variant(known: Mapping[str, Any], message_content: str) -> str:
    """How events look to a bot that has identified with these `intents`."""
    hidden = message_content == "intent" and not known["intents"] & MESSAGE_CONTENT
    return f"{HIDDEN}{known['bot']}" if hidden else TEXT


def shown(event: Event, variant: str) -> Any:
    """The data of an event for clients of a variant."""
    if variant == TEXT or event.name not in MESSAGES:
        return event.body
    message = event.data
    direct = not event.channel.startswith("guild:") and type(message) is dict and message.get("guild_id") is None
    return event.body if direct else without_content(message, variant.removeprefix(HIDDEN))


def without_content(message: Any, bot: str) -> Any:
    """A message of a guild as a bot gets it without the intent MESSAGE_CONTENT: blank, unless it is its own, or for it;
    and so the one that it answers, and those that it forwards.
    """
    if type(message) is not dict:
        return message
    author, mentions = message.get("author"), message.get("mentions")
    people = [author, *(mentions if isinstance(mentions, list) else ())]
    if any(isinstance(person, dict) and str(person.get("id")) == bot for person in people):
        return message
    blank = {name: empty for name, empty in _CONTENT.items() if name in message}
    if "referenced_message" in message:
        blank["referenced_message"] = without_content(message["referenced_message"], bot)
    if type(forwarded := message.get("message_snapshots")) is list:
        blank["message_snapshots"] = [
            {name: without_content(value, bot) for name, value in item.items()} if type(item) is dict else item
            for item in forwarded
        ]
    return {**{name: value for name, value in message.items() if name != "poll"}, **blank}


@frozen(eq=False)
class Audience:
    """All sessions with the same intents and shard. A publish asks one of them, not each of its sessions."""

    intents: int
    shard: tuple[int, int] | None

    def hears(self, mask: int, place: int | None) -> bool:
        """Whether an event is for these that one of some intents lets pass, from a place among the guilds."""
        if mask != EVERY and not self.intents & mask:
            return False
        return self.shard is None or place is None or place % self.shard[1] == self.shard[0]


class Filter:
    """Lets events pass to sessions by what these have identified with; `more` are the intents of further events."""

    def __init__(self, more: Mapping[str, int]) -> None:
        self._events = {**EVENTS, **{name: (mask, 0) for name, mask in more.items()}}
        self._audiences: WeakValueDictionary[tuple[int, tuple[int, int] | None], Audience] = WeakValueDictionary()

    def of(self, channel: str, name: str, data: Any) -> Callable[[Session], bool] | None:
        """What tells whether a session gets an event; unknown ones pass."""
        (in_guild, direct), guild = self._events.get(name, (EVERY, 0)), guild_of(channel, name, data)
        mask = direct if guild is None and direct else in_guild
        if guild is None and direct:
            guild = 0  # direct messages are for the first shard
        place = None if guild is None or channel[:8] == "session:" else guild >> 22
        if place is None and mask == EVERY:
            return None
        verdicts: dict[Audience, bool] = {}

        def passes(session: Session) -> bool:
            audience = session.audience or self._audience(session)
            verdict = verdicts.get(audience)
            if verdict is None:
                verdict = verdicts[audience] = audience.hears(mask, place)
            return verdict

        return passes

    def _audience(self, session: Session) -> Audience:
        intents, shard = session.metadata.get("intents"), session.metadata.get("shard")
        if type(intents) is not int or not (shard is None or is_shard(shard)):
            intents, shard = 0, None  # a journal that somebody has edited must not make publishes fail
        key = intents, None if shard is None else (shard[0], shard[1])
        audience = session.audience = self._audiences.setdefault(key, Audience(*key))
        return audience


def guild_of(channel: str, name: str, data: Any) -> int | None:
    """The guild that an event is of: as it says itself, or as its channel does."""
    said = data.get("id" if name in GUILD_EVENTS else "guild_id") if type(data) is dict else None
    if said is None and channel.startswith("guild:"):
        said = channel[6:]
    if type(said) is str:
        return int(said) if said.isdecimal() and len(said) <= 20 else None
    return said if type(said) is int else None


def is_shard(value: Any) -> bool:
    """Whether it is `[number, count]`, of a count that any bot could have."""
    if type(value) is not list or [type(item) for item in value] != [int, int]:
        return False
    number, count = value
    return bool(0 <= number < count <= MOST_SHARDS)
