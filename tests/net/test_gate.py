"""Bounds on clients: what each of them is judged by, that every count comes back to 0, and that others still get in."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio

from gatewayd.config.model import ListenerConfig
from gatewayd.config.values import Bind
from gatewayd.net.gate import Gate, GateClosed, Ticket
from gatewayd.protocols import utilbot
from tests.net.test_listener import GOOD
from tests.server import Served, serving


def limits(name: str = "main", **values: Any) -> ListenerConfig:
    return ListenerConfig(name=name, protocol="utilbot", bind=Bind.parse("127.0.0.1:1"), **values)


@contextmanager
def full(bound: str, status: int) -> Iterator[None]:
    with pytest.raises(GateClosed) as caught:
        yield
    assert (caught.value.bound, caught.value.status) == (bound, status)
    assert caught.value.reason


def empty(gate: Gate) -> bool:
    tables = (gate.by_listener, gate.by_address, gate.unidentified_by_listener, gate.unidentified_by_address)
    return not gate.clients and not gate.unidentified and not any(tables)


def test_each_bound_has_its_name_and_leaves_nothing_behind() -> None:
    gate = Gate(max_clients=4, max_unidentified=100)
    here, there = limits(max_clients_per_ip=2), limits("there", max_unidentified=1, max_clients=3)
    tickets = [gate.issue(here, "a"), gate.issue(here, "a")]
    with full("max_clients_per_ip", 429):
        gate.issue(here, "a")
    tickets.append(gate.issue(there, "b"))
    with full("max_unidentified", 503):  # of the listener's own
        gate.issue(there, "c")
    tickets.append(gate.issue(here, None))
    with full("max_clients", 503):  # of the node
        gate.issue(here, "c")
    for ticket in tickets:
        ticket.release()
    assert empty(gate)


def test_one_address_holds_an_eighth_of_those_who_identify() -> None:
    gate = Gate(max_clients=1000, max_unidentified=80)
    here = limits(max_clients_per_ip=500)
    tickets = [gate.issue(here, "a") for _ in range(10)]
    with full("max_unidentified_per_ip", 429):
        gate.issue(here, "a")
    tickets.append(gate.issue(here, "b"))
    tickets[0].identify()
    tickets.append(gate.issue(here, "a"))
    with full("max_unidentified_per_ip", 429):
        gate.issue(here, "a")
    small = limits("small", max_unidentified=4)  # even the smallest part lets one in
    tickets.append(gate.issue(small, "c"))
    with full("max_unidentified_per_ip", 429):
        gate.issue(small, "c")
    for ticket in tickets:
        ticket.release()
    assert empty(gate)


def test_an_address_that_is_learnt_later_counts_from_then_on() -> None:
    gate = Gate(max_clients=1000, max_unidentified=80)
    here = limits(max_clients_per_ip=1)
    tickets: list[Ticket] = [gate.issue(here, None), gate.issue(here, None)]
    gate.check_address(here, "a")
    tickets[0].set_address("a")
    with full("max_clients_per_ip", 429):
        gate.check_address(here, "a")
    for ticket in tickets:
        ticket.identify()
        ticket.identify()
        ticket.release()
    assert empty(gate)


def connected(served: Served, source: str, said: bytes = b"") -> socket.socket:
    """A connection from an address of its own: on loopback, each of 127.0.0.0/8 is one."""
    sock = socket.socket()
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", served.port))
    sock.sendall(said)
    return sock


@asynccontextmanager
async def answered(served: Served, source: str, said: bytes = GOOD) -> AsyncIterator[bytes]:
    """What comes back first."""
    async with trio.SocketStream(trio.socket.from_stdlib_socket(connected(served, source, said))) as stream:
        with trio.fail_after(5):
            yield bytes(await stream.receive_some())


async def accepted(served: Served, number: int) -> None:
    with trio.fail_after(10):
        while served.gate.clients + sum(served.gate.refused.values()) < number:
            await trio.sleep(0.005)


async def test_half_sent_heads_from_one_address_shut_nobody_else_out() -> None:
    gate = Gate(max_clients=1000, max_unidentified=160)
    async with serving(utilbot.PROTOCOL, gate=gate, config={"max_unidentified": 160}) as served:
        rude = []
        for place in range(4):  # the kernel's queue of those not yet accepted is bounded
            rude += [connected(served, "127.0.0.1", GOOD[:40]) for _ in range(100)]
            await accepted(served, 100 * (place + 1))
        assert (gate.clients, gate.refused) == (20, {"max_unidentified_per_ip": 380})
        for number in range(40):
            async with answered(served, f"127.0.0.{2 + number % 8}") as got:
                assert got.startswith(b"HTTP/1.1 101 ")
        async with answered(served, "127.0.0.1") as got:
            assert got.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After" in got
            assert b"still identifying" in got
        for sock in rude:
            sock.close()
        await served.settled()
        assert empty(gate)


async def test_behind_a_trusted_proxy_the_head_tells_who_is_judged() -> None:
    gate = Gate(max_clients=1000, max_unidentified=16)
    config = {"trusted_proxies": ("127.0.0.1",), "max_clients_per_ip": 1}
    async with serving(utilbot.PROTOCOL, gate=gate, config=config) as served:
        heads = [connected(served, "127.0.0.1", GOOD[:40]) for _ in range(8)]
        await accepted(served, 8)
        assert (gate.clients, gate.refused) == (8, {})

        def from_(address: str) -> bytes:
            return GOOD.replace(b"\r\n\r\n", f"\r\nX-Forwarded-For: {address}\r\n\r\n".encode())

        async with answered(served, "127.0.0.1", from_("2001:db8::1")) as got:
            assert got.startswith(b"HTTP/1.1 101 ")
            async with answered(served, "127.0.0.1", from_("2001:db8::2")) as got:  # the same /64
                assert got.startswith(b"HTTP/1.1 429 ")
            async with answered(served, "127.0.0.1", from_("2001:db8:0:1::2")) as got:
                assert got.startswith(b"HTTP/1.1 101 ")
        assert gate.refused == {"max_clients_per_ip": 1}
        for sock in heads:
            sock.close()
        await served.settled()
        assert empty(gate)
