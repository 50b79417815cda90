"""The client: paths and queries as sent, and a sentence for every way in which there is no answer."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatewayd.ctl.admin_socket import AdminSocket, Unreachable
from gatewayd.ctl.client import Answer, Client, RequestRefused

from .daemon import Daemon


def only(path: Path) -> AdminSocket:
    return AdminSocket([path], named=True)


@contextmanager
def listening(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[Client]:
    """Something at `path` that takes one connection and is no daemon."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Client(only(path), timeout=5)
        finally:
            thread.join()


def test_names_are_percent_encoded(daemon: Daemon) -> None:
    target = "GET /v1/documents/guild%3A7%2F..%3Fx%20%C3%A9%25?reason=a%20b%26c%2F%0A"
    daemon.answers(target, {"a": 1})
    answer = Client(only(daemon.path), timeout=5).ask(
        "GET", "documents", "guild:7/..?x é%", query={"reason": "a b&c/\n"}
    )
    assert answer == Answer('{"a": 1}', {"a": 1})
    assert daemon.asked == [target]


def test_the_request_is_http_for_gatewayd(daemon: Daemon) -> None:
    daemon.answers("PUT /v1/documents/k", b"", status=204)
    answer = Client(only(daemon.path), timeout=5).ask("PUT", "documents", "k", body=b"[1]")
    assert answer == Answer("", None)
    [request] = daemon.requests
    assert request.body == b"[1]"
    assert request.headers["Host"] == "gatewayd"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Content-Length"] == "3"


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (404, '{"error":{"code":"not_found","message":"no session x"}}', "no session x"),
        (400, '{"error":{}}', "HTTP 400 Bad Request"),
        (500, "[1]", "HTTP 500 Internal Server Error"),
        (502, "<html>", "HTTP 502 Bad Gateway"),
        (302, "", "HTTP 302 Found"),
        (200, "<html>", "the answer (HTTP 200) is not JSON"),
        (200, "[" * 100_000, "the answer (HTTP 200) is not JSON"),
        (200, b"\xff", "the answer (HTTP 200) is not JSON"),
    ],
)
def test_refusals(daemon: Daemon, status: int, said: str | bytes, message: str) -> None:
    daemon.answers("GET /v1/status", said, status=status)
    with pytest.raises(RequestRefused) as caught:
        Client(only(daemon.path), timeout=5).ask("GET", "status")
    assert str(caught.value).startswith(message)


def test_a_body_refused_before_its_end_still_gets_its_answer(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        said = b'{"error":{"code":"too_large","message":"too large"}}'
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
        connection.shutdown(socket.SHUT_RD)

    with listening(tmp_path / "s", refuse) as client, pytest.raises(RequestRefused, match="too large"):
        client.ask("POST", "publish", body=b"x" * 10_000_000)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_something_else_listens(tmp_path: Path, said: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(said)

    with listening(tmp_path / "s", talk) as client, pytest.raises(Unreachable, match="did not give an HTTP answer"):
        client.ask("GET", "status")


def test_a_daemon_that_is_stuck(tmp_path: Path) -> None:
    with listening(tmp_path / "s", lambda connection: _wait_for_the_end(connection)) as client:
        client.timeout = 0.05
        with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
            client.ask("GET", "status")


def _wait_for_the_end(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


def test_a_daemon_that_does_not_accept_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stuck, socket.socket(socket.AF_UNIX) as first:
        stuck.bind(str(path))
        stuck.listen(0)
        first.connect(str(path))  # the backlog is full
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not accept connections; is it stuck"):
            Client(only(path), timeout=0.2).ask("GET", "status")
        assert 0.15 < time.monotonic() - began < 5
