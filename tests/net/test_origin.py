"""Origins and addresses."""

from __future__ import annotations

import pytest

from gatewayd.net.origin import address_of, allowed, base_url, networks, remote


@pytest.mark.parametrize(
    ("origin", "host", "listed", "fine"),
    [
        (None, "a", None, True),
        ("http://a", "a", None, True),
        ("https://a", "a", None, True),
        ("https://a", "a:443", None, True),
        ("https://a", "a:80", None, False),
        ("http://a:8080", "a:8080", None, True),
        ("http://a", "a:8080", None, False),
        ("http://A", "a", None, True),
        ("http://[::1]:1", "[::1]:1", None, True),
        ("http://b", "a", None, False),
        ("null", "a", None, False),
        ("", "a", None, False),
        ("http://a:99999", "a", None, False),
        ("http://[", "a", None, False),
        ("https://app", "a", ("https://app",), True),
        ("https://APP", "a", ("https://app",), True),
        ("http://a", "a", ("https://app",), True),
        ("https://app.evil", "a", ("https://app",), False),
        ("null", "a", ("null",), True),
    ],
)
def test_allowed(origin: str | None, host: str, listed: tuple[str, ...] | None, fine: bool) -> None:
    assert allowed(origin, host, listed) is fine


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("10.0.0.1:5", "", ("10.0.0.0/8",), "10.0.0.1:5"),
        ("10.0.0.1:5", "192.0.2.1", (), "10.0.0.1:5"),
        ("10.0.0.1:5", "192.0.2.1", ("10.0.0.1",), "192.0.2.1"),
        ("10.0.0.1:5", "203.0.113.9, 192.0.2.1", ("10.0.0.1",), "192.0.2.1"),
        ("10.0.0.1:5", "203.0.113.9, 192.0.2.1, 10.0.0.7", ("10.0.0.0/8",), "192.0.2.1"),
        ("10.0.0.1:5", "nonsense", ("10.0.0.1",), "10.0.0.1:5"),
        ("10.0.0.1:5", "[2001:db8::1]:99", ("10.0.0.1",), "[2001:db8::1]:99"),
        ("[::1]:5", "192.0.2.1", ("::1",), "192.0.2.1"),
        ("[::ffff:10.0.0.1]:5", "192.0.2.1", ("10.0.0.0/8",), "192.0.2.1"),
        ("unix", "192.0.2.1", ("10.0.0.1",), "unix"),
    ],
)
def test_remote(peer: str, forwarded: str, trusted: tuple[str, ...], found: str) -> None:
    assert remote(peer, {"x-forwarded-for": forwarded}, networks(trusted)) == found


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("192.0.2.1:80", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::1]:80", "::/64"),
        ("2001:db8:0:7:ffff::1", "2001:db8:0:7::/64"),
        ("[2001:db8:0:7::2]:5", "2001:db8:0:7::/64"),
        ("[fe80::1%eth0]:5", "fe80::/64"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("unix", None),
    ],
)
def test_what_is_one_address(remote: str, address: str | None) -> None:
    assert address_of(remote) == address


@pytest.mark.parametrize(
    ("headers", "tls", "proxied", "url"),
    [
        ({}, False, False, "ws://a:1"),
        ({}, True, False, "wss://a:1"),
        ({"proto": "https", "host": "b"}, False, False, "ws://a:1"),
        ({}, False, True, "wss://a:1"),
        ({"proto": "http"}, True, True, "ws://a:1"),
        ({"proto": "HTTPS"}, False, True, "wss://a:1"),
        ({"proto": "ws"}, False, True, "ws://a:1"),
        ({"proto": "wss, http"}, False, True, "wss://a:1"),
        ({"proto": "javascript"}, False, True, "wss://a:1"),
        ({"host": "b.example:8443"}, False, True, "wss://b.example:8443"),
        ({"host": "[::1]:2, c"}, False, True, "wss://[::1]:2"),
        ({"host": ""}, False, True, "wss://a:1"),
        ({"host": "b/path"}, False, True, "wss://a:1"),
        ({"host": "b?x"}, False, True, "wss://a:1"),
        ({"host": "u@b"}, False, True, "wss://a:1"),
    ],
)
def test_the_url_by_which_a_client_came(headers: dict[str, str], tls: bool, proxied: bool, url: str) -> None:
    sent = {"host": "a:1", **{f"x-forwarded-{name}": text for name, text in headers.items()}}
    assert base_url(sent, tls=tls, proxied=proxied) == url
