"""What the daemon does without a configuration file: six listeners on loopback, with secrets made for this start."""

import base64
import secrets
from collections.abc import Mapping

import tomli_w

from gatewayd.config.load import parse
from gatewayd.config.model import AdminConfig, Config, GatewayConfig, LimitsConfig
from gatewayd.config.show import plain
from gatewayd.config.spec import ProtocolSpec

NAMES = ("oxyl", "rooms", "dmod", "discodo", "utilbot", "discord")
FIRST_PORT = 7101
BOT = "100"
"""The id of the bot that the token of the discord listener names: a short one, so that its line fits 80 columns."""

_HEAD = """\
# The defaults of gatewayd.  Change every secret before anyone else can reach a listener.
# Timings and limits that a listener leaves out are its protocol's; `gatewayd config show` prints them.
"""


def embedded_default(protocols: Mapping[str, ProtocolSpec]) -> tuple[Config, dict[str, str]]:
    """The configuration for a start without a file, and the fresh secret of each listener by its name.

    The dict is for the table that is printed at the start; nothing else may show a secret.  The dmod listener also
    takes its secret for user "1" and guild "1".
    """
    fresh = {name: _fresh(name) for name in NAMES}
    return parse(_toml(fresh), "embedded default", protocols), fresh


def default_toml() -> str:
    """What `gatewayd config default` prints: the same listeners, with "change-me" for every secret."""
    return _HEAD + "\n" + _toml({**dict.fromkeys(NAMES, "change-me"), "discord": _token("change-me")})


def _fresh(name: str) -> str:
    if name == "discord":
        return _token(f"{secrets.token_urlsafe(4)}.{secrets.token_urlsafe(9)}")
    return secrets.token_urlsafe(16)


def _token(rest: str) -> str:
    """A token of Discord's shape, in which libraries look for the bot's id."""
    return f"{base64.b64encode(BOT.encode()).decode().rstrip('=')}.{rest}"


def _toml(keys: Mapping[str, str]) -> str:
    # The host name is left out: a printed default should fit the machine it is copied to.
    gateway = {key: value for key, value in plain(GatewayConfig()).items() if key != "node"}
    general = {"gateway": gateway, "admin": plain(AdminConfig()), "limits": plain(LimitsConfig())}
    tables = [_listener(name, FIRST_PORT + place, keys[name]) for place, name in enumerate(NAMES)]
    return "\n".join([tomli_w.dumps(general), *tables])


def _listener(name: str, port: int, key: str) -> str:
    """One listener and its auth, as people would write them."""
    # token_urlsafe has no character that TOML would want escaped.
    lines = [f"[auth.{name}]", 'kind = "static"', f'secrets = ["{key}"]']
    if name == "dmod":
        lines += [f'users = {{ "1" = "{key}" }}', f'guilds = {{ "1" = "{key}" }}']
    lines += ["", "[[listeners]]"]
    lines += [f'name = "{name}"', f'protocol = "{name}"', f'bind = "127.0.0.1:{port}"', f'auth = "{name}"']
    if name == "dmod":
        lines.append('heartbeat = "lenient"   # strict | lenient (judged after the first heartbeat) | off')
    lines += ['realm = "main"']
    if name == "oxyl":
        # Its clients write guild: and member: documents, and dmod serves those.
        lines += ["", "[listeners.options]", 'documents = "oxyl:"']
    if name == "discord":
        lines += ["", "[listeners.options]", 'documents = "discord:"   # before "bot", "application", "gateway"']
    if name == "rooms":
        lines += ["", "[listeners.options]", "ad_hoc = true   # any roomId is a room"]
    return "\n".join(lines) + "\n"
