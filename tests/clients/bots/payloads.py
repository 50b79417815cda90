"""A guild and messages as Discord documents them: complete enough for every library's own objects."""

from __future__ import annotations

from typing import Any

AUTHOR = {"id": "200000000000000002", "username": "somebody", "discriminator": "0", "avatar": None, "global_name": None}
TIME = "2026-01-02T03:04:05.000000+00:00"

MEMBER = {
    "user": AUTHOR, "roles": [], "joined_at": TIME, "deaf": False, "mute": False, "flags": 0, "nick": None, "avatar": None,
    "premium_since": None,
}  # fmt: skip


def guild_of(shard: int, count: int = 1) -> str:
    """The id of a guild that this shard of so many hears."""
    return str((700_000_000_000 * count + shard) << 22)


def channel_of(guild: str) -> str:
    """The id of its one text channel."""
    return str(int(guild) + 1)


def guild(id: str) -> dict[str, Any]:
    """GUILD_CREATE of a guild with one role, one channel and one member."""
    role = {
        "id": id, "name": "@everyone", "color": 0, "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False, "position": 0, "permissions": "2248473465835073", "managed": False, "mentionable": False, "flags": 0,
    }  # fmt: skip
    channel = {
        "id": channel_of(id), "type": 0, "name": "general", "position": 0, "permission_overwrites": [], "nsfw": False,
        "parent_id": None, "topic": None, "last_message_id": None, "rate_limit_per_user": 0, "flags": 0,
    }  # fmt: skip
    return {
        "id": id, "name": "a guild", "icon": None, "splash": None, "discovery_splash": None, "owner_id": AUTHOR["id"],
        "afk_channel_id": None, "afk_timeout": 300, "verification_level": 0, "default_message_notifications": 0,
        "explicit_content_filter": 0, "roles": [role], "emojis": [], "features": [], "mfa_level": 0, "application_id": None,
        "system_channel_id": None, "system_channel_flags": 0, "rules_channel_id": None, "vanity_url_code": None,
        "description": None, "banner": None, "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
        "public_updates_channel_id": None, "nsfw_level": 0, "premium_progress_bar_enabled": False, "stickers": [],
        "safety_alerts_channel_id": None, "joined_at": TIME, "large": False, "unavailable": False, "member_count": 1,
        "voice_states": [], "members": [MEMBER], "channels": [channel], "threads": [], "presences": [], "stage_instances": [],
        "guild_scheduled_events": [], "soundboard_sounds": [], "incidents_data": None, "widget_enabled": False,
        "widget_channel_id": None, "max_members": 500000, "max_presences": None, "max_video_channel_users": 25,
    }  # fmt: skip


def message(guild: str, number: int, content: str = "") -> dict[str, Any]:
    """MESSAGE_CREATE in its channel. `n` is ours, and libraries leave alone what they do not know."""
    return {
        "n": number, "id": str(int(guild) + 1000 + number), "channel_id": channel_of(guild), "guild_id": guild, "author": AUTHOR,
        "member": {key: value for key, value in MEMBER.items() if key != "user"}, "content": content or f"message {number}", "timestamp": TIME, "edited_timestamp": None, "tts": False,
        "mention_everyone": False, "mentions": [], "mention_roles": [], "mention_channels": [], "attachments": [], "embeds": [],
        "reactions": [], "pinned": False, "type": 0, "flags": 0, "components": [],
    }  # fmt: skip


def event(channel: str, name: str, data: Any) -> dict[str, Any]:
    """One item of a publish."""
    return {"channel": channel, "event": name, "data": data}


def messages(numbers: range, guild: str) -> list[dict[str, Any]]:
    """So many of them, for those who hear that guild."""
    return [event(f"guild:{guild}", "MESSAGE_CREATE", message(guild, number)) for number in numbers]
