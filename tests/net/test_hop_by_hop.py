"""Framing and headers from one hop to the next, without sockets."""

from __future__ import annotations

from typing import Any

import h11
import pytest

from gatewayd.net.hop_by_hop import CallFailed, client_side, framing_of, request_of, response_of
from gatewayd.net.request_head import Head, HeadReader


def head(*lines: str, request: str = "POST /a?b=%20c HTTP/1.1") -> Head:
    text = "\r\n".join([request, "Host: front:1", *lines, "", ""])
    found = HeadReader(plain=True).feed(text.encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("lines", "framing"),
    [
        ((), {}),
        (("Content-Length: 5",), {"content-length": "5"}),
        (("Transfer-Encoding: Chunked",), {"transfer-encoding": "chunked"}),
        (("Content-Length: 5", "Expect: 100-Continue"), {"content-length": "5"}),
    ],
)
def test_framing(lines: tuple[str, ...], framing: dict[str, str]) -> None:
    assert framing_of(head(*lines)) == framing


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        (("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (("Content-Length: +5",), 400),
        (("Content-Length: 5, 5",), 400),
        (("Content-Length: ",), 400),
        (("Content-Length: 9999999999999999",), 400),
        (("Transfer-Encoding: gzip, chunked",), 501),
        (("Expect: 200-maybe",), 417),
    ],
)
def test_no_framing(lines: tuple[str, ...], status: int) -> None:
    with pytest.raises(CallFailed) as caught:
        framing_of(head(*lines))
    assert caught.value.status == status


def test_a_target_that_climbs() -> None:
    with pytest.raises(CallFailed) as caught:
        framing_of(head(request="GET /a/%2e%2e/b HTTP/1.1"))
    assert caught.value.status == 400


def sent(*lines: str, remote: str = "192.0.2.7:5000", **framing: str) -> dict[str, str]:
    request = request_of(
        head(*lines), {name.replace("_", "-"): value for name, value in framing.items()}, remote, "back:2", "/v"
    )
    assert (request.method, request.target) == (b"POST", b"/v/a?b=%20c")
    return {name.decode(): value.decode() for name, value in request.headers}


def test_a_request_goes_on_with_the_headers_that_are_meant_for_the_server() -> None:
    got = sent(
        "Authorization: s3cret", "User-ID: 7", "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "TE: trailers",
        "Upgrade: h2c", "Proxy-Authorization: x", "Trailer: X", "Expect: 100-continue", "Forwarded: for=1",
        "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Host: evil", "X-Real-IP: 198.51.100.1", "Content-Length: 5",
        content_length="5",
    )  # fmt: skip
    assert got == {
        "host": "back:2", "connection": "close", "authorization": "s3cret", "user-id": "7", "content-length": "5",
        "x-forwarded-for": "192.0.2.7",
    }  # fmt: skip


def test_what_some_server_reads_as_one_of_our_headers_does_not_go_on() -> None:
    got = sent(
        "X_Forwarded_For: 198.51.100.1", "Content_Length: 5", "Transfer_Encoding: chunked", "X_Real-IP: 198.51.100.1",
        "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /a", "X-Original-URL: /admin", "X_Rewrite_URL: /admin", "User_ID: 7",
        "Connection: x-hop", "X_Hop: 1",
    )  # fmt: skip
    assert got == {"host": "back:2", "connection": "close", "user_id": "7", "x-forwarded-for": "192.0.2.7"}


def test_of_a_client_without_an_address_none_is_said() -> None:
    assert "x-forwarded-for" not in sent("X-Forwarded-For: 198.51.100.1", remote="unix")
    assert sent(remote="[2001:db8::1]:5000")["x-forwarded-for"] == "2001:db8::1"


def test_connection_cannot_take_away_what_is_ours() -> None:
    got = sent("Connection: Host, Content-Length, X-Forwarded-For", "Content-Length: 5", content_length="5")
    assert got == {"host": "back:2", "connection": "close", "content-length": "5", "x-forwarded-for": "192.0.2.7"}


def answered(*headers: tuple[str, str], status: int = 200) -> dict[bytes, bytes]:
    event = h11.Response(status_code=status, headers=list(headers), reason=b"Fine")
    got = response_of(event)
    assert (got.status_code, got.reason) == (status, b"Fine")
    return dict(got.headers)


def test_an_answer_goes_on_without_what_was_for_us() -> None:
    assert answered(
        ("Content-Length", "5"), ("Connection", "x-hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Location", "http://other/"),
        status=302,
    ) == {b"content-length": b"5", b"location": b"http://other/", b"connection": b"close"}  # fmt: skip
    assert answered(("Content-Length", "5"), ("Transfer-Encoding", "chunked")) == {b"connection": b"close"}


def events(wire: h11.Connection) -> list[Any]:
    got = []
    while (event := wire.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        got.append(bytes(event.data) if type(event) is h11.Data else type(event))
    return got


def test_the_clients_side_begins_behind_the_head() -> None:
    wire = client_side(head("Content-Length: 5"), {"content-length": "5"}, b"ab")
    assert events(wire) == [b"ab"]
    wire.receive_data(b"cdeGET /smuggled")
    assert events(wire) == [b"cde", h11.EndOfMessage]
    assert events(client_side(head(), {}, b"")) == [h11.EndOfMessage]
    wire = client_side(head("Transfer-Encoding: chunked"), {"transfer-encoding": "chunked"}, b"2\r\nab\r\n0\r\n\r\n")
    assert events(wire) == [b"ab", h11.EndOfMessage]


def test_an_expectation_counts_where_there_is_a_body() -> None:
    assert client_side(head("Expect: 100-continue"), {"content-length": "5"}, b"").they_are_waiting_for_100_continue
    assert not client_side(head("Expect: 100-continue"), {}, b"").they_are_waiting_for_100_continue
