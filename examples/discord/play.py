"""Plays a short server to every bot: a guild, a channel, members, messages.

Each event of `events/` is published with gatewayctl, one a second; `python play.py 0` does not wait.
"""

import subprocess
import sys
import time
from pathlib import Path

EVENTS = Path(__file__).parent / "events"
PLAY = (
    "GUILD_CREATE",
    "CHANNEL_CREATE",
    "GUILD_MEMBER_ADD",
    "TYPING_START",
    "MESSAGE_CREATE",
    "MESSAGE_UPDATE",
    "MESSAGE_REACTION_ADD",
    "INTERACTION_CREATE",
    "MESSAGE_DELETE",
    "GUILD_MEMBER_REMOVE",
)

pause = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
for name in PLAY:
    print(f"$ gatewayctl publish bot:all {name} - < events/{name}.json", flush=True)
    with (EVENTS / f"{name}.json").open() as data:
        subprocess.run(["gatewayctl", "publish", "bot:all", name, "-"], stdin=data, check=True)
    time.sleep(pause)
