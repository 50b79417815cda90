"""The chat room of examples/: backend and daemon as processes, and people who play the page's part."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import define, field
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.daemon.test_run import Running, running
from tests.server import free_port
from tests.test_backend import status_of

CHAT = Path(__file__).parents[2] / "examples" / "chat"


@define
class Chat:
    """The example as it stands, on ports of its own."""

    folder: Path
    web: int = field(factory=free_port)
    api: int = field(factory=free_port)
    gateway: int = field(factory=free_port)
    backend: subprocess.Popen[str] | None = None
    host_key: str = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    def configured(self) -> Path:
        text = (CHAT / "gatewayd.toml").read_text()
        for port, ours in ((8000, self.web), (7100, self.api), (7102, self.gateway)):
            text, found = re.subn(rf":{port}\b", f":{ours}", text)
            assert found
        path = self.folder / "gatewayd.toml"
        path.write_text(text + f'\n[admin]\nsocket = "{self.folder}/admin.sock"\n')
        return path

    def start_backend(self) -> None:
        environ = {
            "CHAT_BIND": f"127.0.0.1:{self.web}",
            "CHAT_API": f"http://127.0.0.1:{self.api}",
            "CHAT_GATEWAY": f"ws://127.0.0.1:{self.gateway}/gateway",
        }
        self.backend = subprocess.Popen(
            [sys.executable, str(CHAT / "backend.py")],
            cwd=self.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.backend.stdout is not None
        self.host_key = self.backend.stdout.readline().split()[-1]
        until(lambda: self.ask("GET", "/")[0] == 200)

    def stop_backend(self) -> None:
        if self.backend is not None:
            self.backend.kill()
            self.backend.communicate()

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Status and JSON, or the text of what is none; (0, "") where nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=10)
        try:
            text = None if body is None else body if isinstance(body, str) else json.dumps(body)
            connection.request(method, path, text, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            said = answer.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(said) if is_json else said

    def login(self, name: str, key: str = "") -> Person:
        status, answer = self.ask("POST", "/login", {"name": name, "key": key})
        assert status == 200, answer
        return Person(self, answer["token"], answer["participant"], answer["gateway"], answer["room"])


@define
class Person:
    """Somebody who is logged in, and their connection."""

    chat: Chat
    token: str
    participant: str
    gateway: str
    room: str
    _connection: ClientConnection | None = None
    _stack: ExitStack = field(factory=ExitStack)

    @property
    def connection(self) -> ClientConnection:
        assert self._connection is not None
        return self._connection

    def come(self, origin: str = "", **query: str) -> None:
        """Connect as the page does, and hear the hello."""
        claim = {"roomId": self.room, "participantId": self.participant, "token": self.token, **query}
        url = f"{self.gateway}?{urlencode(claim)}"
        page = Origin(origin or self.chat.origin)
        self._connection = self._stack.enter_context(connect(url, origin=page, proxy=None, close_timeout=1))
        assert self.hear() == {"e": 0, "d": {"heartbeatInterval": 30000}}

    def go(self) -> None:
        """Say goodbye, on every connection that there is."""
        self._stack.close()

    def hear(self) -> Any:
        return json.loads(self.connection.recv(5))

    def heard(self) -> tuple[str, str]:
        """Author and content of the next message; events of another kind are passed over."""
        while (payload := self.hear())["e"] != 3:
            pass
        assert abs(payload["d"]["sentAt"] / 1000 - time.time()) < 60
        return payload["d"]["authorId"], payload["d"]["content"]

    def lose(self) -> None:
        """The network goes; nobody says goodbye."""
        self.connection.socket.shutdown(2)
        with pytest.raises(ConnectionClosed):
            while True:
                self.connection.recv(5)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.chat.ask(method, path, body, self.token)

    def say(self, content: str, key: str) -> tuple[int, Any]:
        return self.ask("POST", "/messages", {"id": key, "content": content})

    def present(self) -> list[str]:
        status, answer = self.ask("GET", "/who")
        assert status == 200
        names: list[str] = answer["people"]
        return names


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Chat]:
    chat = Chat(tmp_path)
    try:
        chat.start_backend()
        yield chat
    finally:
        chat.stop_backend()


@pytest.fixture
def daemon(backend: Chat) -> Iterator[Running]:
    with running("--config", backend.configured(), cwd=backend.folder) as process:
        yield process


@pytest.fixture
def chat(backend: Chat, daemon: Running) -> Chat:
    return backend


@pytest.fixture
def two(chat: Chat) -> Iterator[tuple[Person, Person]]:
    """The host Ann, and Bob; both are there and know it."""
    ann = chat.login("Ann", chat.host_key)
    ann.come()
    assert ann.heard() == ("system", "Ann joined")
    bob = chat.login("Bob")
    bob.come()
    assert ann.heard() == bob.heard() == ("system", "Bob joined")
    yield ann, bob
    for person in (ann, bob):
        person.go()


def test_a_message_reaches_both_and_once(two: tuple[Person, Person]) -> None:
    ann, bob = two
    status, counts = bob.say("<b>hi</b>", "bob-says-1")
    assert (status, counts["delivered"], counts["dropped"]) == (200, 2, 0)
    assert bob.say("<b>hi</b>", "bob-says-1")[0] == 200  # the answer was lost, say, and the page sends it again
    assert ann.say("hello", "ann-says-1")[0] == 200
    for person in two:
        assert [person.heard(), person.heard()] == [("Bob", "<b>hi</b>"), ("Ann", "hello")]


def test_presence(two: tuple[Person, Person]) -> None:
    ann, bob = two
    assert ann.present() == bob.present() == ["Ann", "Bob"]
    bob.go()
    assert ann.heard() == ("system", "Bob left")
    assert ann.present() == ["Ann"]


def test_a_lost_connection_is_resumed_with_what_was_missed(two: tuple[Person, Person]) -> None:
    ann, bob = two
    bob.lose()
    admin = bob.chat.folder / "admin.sock"
    until(lambda: status_of(admin)["sessions"]["by_state"].get("detached"))  # before that, it would be sent to nowhere
    until(lambda: ann.say("where are you?", "ann-says-1")[0] == 200)
    assert ann.say("hello?", "ann-says-2")[0] == 200
    assert ann.present() == ["Ann", "Bob"]  # for a minute he may come back
    bob.come()
    assert [bob.heard(), bob.heard()] == [("Ann", "where are you?"), ("Ann", "hello?")]
    assert ann.say("there you are", "ann-says-3")[0] == 200
    assert bob.heard() == ("Ann", "there you are")
    assert [ann.heard() for _ in range(3)][-1] == ("Ann", "there you are")  # nobody has left or joined


def test_a_ban(two: tuple[Person, Person]) -> None:
    ann, bob = two
    assert bob.ask("POST", "/ban", {"name": "Ann"}) == (403, {"error": "only the host may do this"})
    assert ann.ask("POST", "/ban", {"name": "Eve"}) == (404, {"error": "nobody is called Eve"})
    assert ann.ask("POST", "/ban", {"name": "Bob"}) == (204, "")
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            bob.hear()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4003, "banned from the room")
    assert {ann.heard(), ann.heard()} == {("system", "Bob left"), ("system", "Bob was banned by Ann")}
    with pytest.raises(InvalidStatus) as refused:
        bob.come()
    assert refused.value.response.status_code == 403
    assert bob.say("but", "bob-says-1") == (401, {"error": "you are not logged in any more"})
    assert bob.chat.ask("POST", "/login", {"name": "BOB"}) == (403, {"error": "BOB is banned"})


def test_a_good_token_is_good_for_its_own_seat_alone(two: tuple[Person, Person]) -> None:
    ann, bob = two
    for elsewhere in ({"participantId": "somebody"}, {"roomId": "elsewhere"}, {"participantId": ann.participant}):
        with pytest.raises(InvalidStatus) as refused:
            bob.come(**elsewhere)
        assert refused.value.response.status_code == 403


def test_who_may_not_come_in(chat: Chat) -> None:
    ann = chat.login("Ann")
    ann.come()
    ann.heard()
    for status, login, why in (
        (409, {"name": "ann"}, "ann is taken"),
        (409, {"name": "System"}, "System is taken"),
        (400, {"name": " "}, "name"),
        (400, {"name": "a\u200bnn"}, "invisible"),
        (400, {"name": "x" * 25}, "length <= 24"),
        (400, {"name": 7}, "Expected `str`, got `int`"),
        (400, '{"name": "\\ud800"}', ""),
        (400, "{", "truncated"),
        (403, {"name": "Eve", "key": "guessed"}, "not the host's key"),
    ):
        found, answer = chat.ask("POST", "/login", login)
        assert (found, why in answer["error"]) == (status, True), answer
    for wrong in ({"token": "x"}, {"token": ""}, {"origin": "http://evil.example"}):
        with pytest.raises(InvalidStatus) as refused:
            ann.come(**wrong)
        assert refused.value.response.status_code == 403
    ann.go()


def test_what_nobody_may_say(chat: Chat) -> None:
    ann = chat.login("Ann")
    assert ann.say(" ", "ann-says-1")[0] == ann.say("x" * 2001, "ann-says-1")[0] == ann.say("x", "?")[0] == 400
    for path in ("/auth", "/hook"):
        assert chat.ask("POST", path, {"events": []}) == (400, {"error": "not signed by gatewayd, or too old"})
    assert chat.ask("GET", "/nothing") == (404, {"error": "Not Found"})


def test_the_page_needs_nothing_from_elsewhere(backend: Chat) -> None:
    status, text = backend.ask("GET", "/")
    assert status == 200
    assert text == (CHAT / "page.html").read_text()
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_without_a_daemon_a_message_is_refused_with_a_sentence(backend: Chat) -> None:
    status, answer = backend.login("Ann").say("hello", "ann-says-1")
    assert (status, answer["error"]) == (503, "the gateway does not answer; try again, nothing is said twice")


def test_the_daemon_stops_while_people_are_there(two: tuple[Person, Person], daemon: Running) -> None:
    started = time.monotonic()
    code, log = daemon.stop()
    assert code == 0, log
    assert time.monotonic() - started < 5  # it has not waited for a backend that waits for it
    assert two[0].present() == []
