"""The conversation on each protocol's page, line by line against the protocol itself."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from gatewayd.auth.static import StaticAuth
from gatewayd.protocols.registry import PROTOCOLS
from tests.playbook import STATIC, Person, Playbook

PAGES = Path(__file__).parents[2] / "docs" / "protocols"
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "rooms": {"ad_hoc": True},
    "discord": {"resume_url": "ws://127.0.0.1:7106"},  # here no request says how the client came
}
AUTH: Mapping[str, StaticAuth] = {"discord": StaticAuth(secrets=("MTAw.s3cret",))}
SESSION = "SESSION"
"""What stands on a page for the id of the session, which is random."""


def conversation(name: str) -> list[str]:
    """The lines of the page's conversation."""
    text = (PAGES / f"{name}.md").read_text().partition("## A conversation")[2]
    return text.partition("```text\n")[2].partition("```")[0].splitlines()


class Stage:
    """Who talks, and what has been said to each of them and is not on the page yet."""

    def __init__(self, name: str) -> None:
        self.book = Playbook(PROTOCOLS[name], options=OPTIONS.get(name), auth=AUTH.get(name, STATIC))
        self.people: dict[str, Person] = {}
        self.unheard: dict[str, list[Any]] = {}
        self.session = ""  # the id that was told last

    def listen(self) -> None:
        for name, person in self.people.items():
            self.unheard[name] += person.heard()

    def connect(self, name: str, url: str, header: str | None, value: str | None) -> None:
        parts = urlsplit(url)
        headers = {header.lower(): value} if header and value else {}
        self.people[name] = self.book.connect(parts.path, dict(parse_qsl(parts.query)), headers)
        self.unheard[name] = []

    def say(self, name: str, payload: str) -> None:
        self.people[name].say(json.loads(payload.replace(SESSION, self.session)))

    def hear(self, name: str, payload: str) -> None:
        if SESSION in payload:
            self.session = self.people[name].session.id
        assert self.unheard[name].pop(0) == json.loads(payload.replace(SESSION, self.session))

    def closed(self, name: str, code: str, reason: str) -> None:
        assert self.people[name].closed == (int(code), reason)

    def leave(self, name: str) -> None:
        assert not self.unheard[name]
        self.people[name].leave()

    def wait(self, seconds: str) -> None:
        self.book.advance(float(seconds))

    def gatewayctl(self, line: str) -> None:
        match shlex.split(line):
            case ["publish", channel, event, data]:
                self.book.publish(channel, event, json.loads(data))
            case ["notify", user, data]:
                self.book.hub.notify(user, json.loads(data))
            case ["doc", "set", key, value]:
                self.book.realm.documents.put(key, json.loads(value))
            case other:
                raise AssertionError(other)


LINES: Mapping[str, Callable[..., None]] = {
    r"(\w+) +connects to (\S+)(?: with (\w+): (\w+))?": Stage.connect,
    r"(\w+) +> (.*)": Stage.say,
    r"(\w+) +< (.*)": Stage.hear,
    r"(\w+) +is closed: (\d+) (.*)": Stage.closed,
    r"(\w+) +loses its connection": Stage.leave,
    r"(\d+) s pass": Stage.wait,
    r"\$ gatewayctl (.*)": Stage.gatewayctl,
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_it_goes_as_the_page_says(name: str) -> None:
    stage, lines = Stage(name), conversation(name)
    assert len(lines) > 10
    for line in lines:
        (found, act) = next((m, act) for form, act in LINES.items() if (m := re.fullmatch(form, line)))
        act(stage, *found.groups())
        stage.listen()
    assert not any(stage.unheard.values())
