"""Every cell of the causes table that closes, and each protocol's own words, over a real WebSocket."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed as LibraryClosed
from trio_websocket import wrap_client_stream
from websockets.exceptions import ConnectionClosed

from gatewayd.core.close import COMMON_ENDINGS, AnyCause, Disconnect
from gatewayd.protocols.registry import PROTOCOLS
from tests.server import client, serving

ROOMS = "/gateway?roomId=42&participantId=7&token=s3cret"
PATHS = {"rooms": ROOMS, "discodo": "/ws"}
IDENTIFY: dict[str, Any] = {
    "oxyl": {"op": 0, "d": {"type": "commands", "compress": False, "secret": "s3cret"}},
    "rooms": {"e": 2, "d": {}},
    "dmod": {"op": 1, "d": {"token": "user-token", "uid": "000"}},
    "discodo": {"op": "IDENTIFY", "d": {"user_id": "a", "shard_id": None}},
    "utilbot": {"op": 1, "t": "identify", "d": {"type": "bot", "key": "s3cret", "id": "a"}},
    "discord": {"op": 2, "d": {"token": "s3cret", "intents": 0}},
}
OPTIONS = {"rooms": {"ad_hoc": True}}
CELLS = [
    (name, cause)
    for name, protocol in PROTOCOLS.items()
    for cause in {**COMMON_ENDINGS, **protocol.wire.endings}
    if protocol.wire.ending(cause).code is not None
]


def headers(name: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": "s3cret"}} if name == "discodo" else {}


@pytest.mark.parametrize(("name", "cause"), CELLS, ids=[f"{name}-{cause.value}" for name, cause in CELLS])
async def test_every_cell_that_closes(name: str, cause: AnyCause) -> None:
    wire = PROTOCOLS[name].wire
    ending = wire.ending(cause)
    async with serving(PROTOCOLS[name], options=OPTIONS.get(name)) as served:
        async with client(served, PATHS.get(name, "/"), **headers(name)) as person:
            await person.recv()
            await person.send(json.dumps(IDENTIFY[name]))
            await person.recv()
            (session,) = served.hub.sessions.values()
            assert session.connection is not None
            verdict = Disconnect(cause, "in so many words")
            session.connection.end(verdict)
            said = []
            with trio.fail_after(5), pytest.raises(ConnectionClosed) as closed:
                while True:
                    said.append(json.loads(await person.recv()))
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                ending.code,
                ending.reason or "in so many words",
            )
            expected = [] if ending.payload is None else [json.loads(json.dumps(ending.payload(verdict)))]
            assert said == expected
        await served.settled()
        assert (session.state == "detached") == (cause.detaches and session.resumable)


@pytest.mark.parametrize("name", list(PROTOCOLS))
async def test_with_trio_websocket_as_the_client(name: str) -> None:
    extra: dict[str, Any] = {"extra_headers": [(b"Authorization", b"s3cret")]} if name == "discodo" else {}
    async with serving(PROTOCOLS[name], options=OPTIONS.get(name)) as served:
        async with trio.open_nursery() as nursery:
            stream = (
                await served.raw()
            )  # of our own: the library's client leaks its socket when the server closes first
            person = await wrap_client_stream(
                nursery, stream, f"127.0.0.1:{served.port}", PATHS.get(name, "/"), **extra
            )
            with trio.fail_after(5):
                assert json.loads(await person.get_message())
                await person.send_message(json.dumps(IDENTIFY[name]))
                assert json.loads(await person.get_message())
                await person.send_message('{"op": true, "e": true}')
                with pytest.raises(LibraryClosed):
                    while True:
                        await person.get_message()
                        if name == "discodo":  # it forgives
                            await person.aclose()
            await person.aclose()
            await stream.aclose()
        await served.settled()


@pytest.mark.parametrize("name", ["oxyl", "utilbot"])
async def test_compressed_payloads(name: str) -> None:
    path = "/?compression=zlib" if name == "utilbot" else "/"
    claim = (
        {"op": 0, "d": {"type": "sharder", "compress": True, "secret": "s3cret"}} if name == "oxyl" else IDENTIFY[name]
    )
    async with serving(PROTOCOLS[name]) as served, client(served, path) as person:
        assert isinstance(await person.recv(), str)
        await person.send(json.dumps(claim))
        answer = await person.recv()
        assert isinstance(answer, bytes)
        assert json.loads(zlib.decompress(answer))["d"]
