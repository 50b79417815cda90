"""The README's picture shows the daemon of today, and nothing of the machine on which it was taken."""

from __future__ import annotations

import re
import socket
from html import unescape

from docs.terminal import LINES, PICTURE
from gatewayd.config.embedded import embedded_default
from gatewayd.daemon.view import url
from gatewayd.protocols.registry import PROTOCOLS


def test_it_shows_every_listener_and_what_is_typed() -> None:
    lines = re.findall(r"<text [^>]*>(.*?)</text>", PICTURE.read_text())
    shown = unescape(" ".join(lines)).replace("\N{NO-BREAK SPACE}", " ")
    config, _ = embedded_default(PROTOCOLS)
    assert all(url(listener, PROTOCOLS[listener.protocol].path) in shown for listener in config.listeners)
    assert all(line in shown for line in LINES)
    assert "detached" in shown
    assert "buffered 1" in shown


def test_it_tells_nothing_of_the_machine() -> None:
    picture = PICTURE.read_text()
    assert "/tmp" not in picture
    assert "://" not in re.sub(
        r"ws://127\.0\.0\.1|http://www\.w3\.org/2000/svg|https://www\.textualize\.io", "", picture
    )
    assert socket.gethostname() not in picture or len(socket.gethostname()) < 5
