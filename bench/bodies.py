"""The events that are published: the same of every run and every server."""

from __future__ import annotations

import json
import random
from typing import Any

TEXT = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but "
    "not what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part over new"
)
GUILD, CHANNEL = "412345678901234567", "312345678901234567"
MESSAGES = 100
"""Different ones; they are published in turn."""

Item = dict[str, Any]
"""What one publish says."""


def plain(protocol: str, number: int) -> Item:
    """An event that makes a frame of some 190 bytes in any protocol."""
    if protocol == "rooms":
        data = {"authorId": "812345678901234567", "content": "x" * 110, "sentAt": 1700000000000 + number}
        return {"channel": "room:1", "event": "message_create", "data": data}
    message = {"guild_id": GUILD, "id": "812345678901234567", "content": "x" * 55, "sentAt": 1700000000000 + number}
    return {"channel": "bot:all", "event": "MESSAGE_CREATE", "data": message}


def messages() -> list[Item]:
    """Chat messages as a bot hears them, of some 750 bytes: what repeats in them is what repeats in a guild."""
    dice = random.Random(10)
    authors = [_author(dice, number) for number in range(40)]
    return [
        {"channel": "bot:all", "event": "MESSAGE_CREATE", "data": _message(dice, dice.choice(authors))}
        for _ in range(MESSAGES)
    ]


def _id(dice: random.Random) -> str:
    return str(dice.randrange(10**17, 10**18))


def _author(dice: random.Random, number: int) -> Item:
    name = f"{dice.choice(TEXT.split())}{number}"
    avatar = f"{dice.getrandbits(128):032x}"
    return {"id": _id(dice), "username": name, "global_name": name.title(), "avatar": avatar, "discriminator": "0",
            "public_flags": 0}  # fmt: skip


def _message(dice: random.Random, author: Item) -> Item:
    text = " ".join(dice.choices(TEXT.split(), k=dice.randrange(4, 30)))
    member: Item = {"roles": [], "joined_at": f"2021-03-{dice.randrange(1, 29):02}T12:00:00.000000+00:00", "nick": None,
              "deaf": False, "mute": False, "flags": 0}  # fmt: skip
    minute, fraction = dice.randrange(3600), dice.randrange(10**6)
    at = f"2026-01-02T20:{minute // 60:02}:{minute % 60:02}.{fraction:06}+00:00"
    return {"id": _id(dice), "channel_id": CHANNEL, "guild_id": GUILD, "type": 0, "author": author, "member": member,
            "content": text, "timestamp": at, "edited_timestamp": None, "tts": False, "mention_everyone": False,
            "mentions": [], "mention_roles": [], "attachments": [], "embeds": [], "pinned": False, "flags": 0,
            "components": [], "nonce": _id(dice)}  # fmt: skip


def encoded(item: Item | list[Item]) -> bytes:
    """As the body of a request."""
    return json.dumps(item, separators=(",", ":")).encode()
