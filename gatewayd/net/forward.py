"""Forwards plain requests to a listener's port to the one server that answers them.

Law 1: this is no open proxy. The server is fixed, and a target stays below the configured path.
Law 2: a caller is admitted first. Until then nothing of the body is read, and nothing is forwarded.
Law 3: a call is bounded in time and in its body, and so is the number of calls; bodies are streamed in pieces.
Law 4: a failure before the response has begun is told in words; a short response begins when all of it has arrived.
After that the connection is cut, so that half a response is never taken for a complete one.

Both sides speak HTTP by h11's rules. Each call has its own connection to the server: a kept one may just have been
closed there, and a POST must not be sent twice.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from gatewayd.config.limits import ForwardLimits
from gatewayd.net.hop_by_hop import CallFailed, body_length, client_side, framing_of, request_of, response_of
from gatewayd.net.request_head import Head, response
from gatewayd.net.transport import SocketTransport


class Forwarder:
    """Forwards the calls of one listener to the server at `url`."""

    def __init__(self, url: str, *, max_body: int, limits: ForwardLimits = ForwardLimits()) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.authority = parts.netloc
        self.path = parts.path.rstrip("/")
        self.max_body = max_body
        self.limits = limits
        self.calls = 0

    async def answer(self, transport: SocketTransport, head: Head, pipelined: bytes, remote: str) -> CallFailed | None:
        """Answer one call; returns why it failed, if it did. The caller closes the transport.

        `pipelined` is what came after the head. Raises `trio.BrokenResourceError` when the client goes away.
        """
        try:
            if self.calls >= self.limits.calls:
                raise CallFailed(
                    503, "rest_full", f"{self.limits.calls} REST calls are under way: try again in a moment"
                )
            call = _Call(self, transport, head, pipelined, remote)
        except CallFailed as failed:
            await self._refuse(transport, failed)
            return failed
        self.calls += 1
        try:
            with trio.move_on_after(self.limits.call_seconds) as time:
                await call.run()
        finally:
            self.calls -= 1
        failure = call.too_late() if time.cancelled_caught else call.failed
        if failure is not None and not call.begun:
            await self._refuse(transport, failure)
        elif failure is None and not call.request_read:
            await transport.linger(self.limits.linger_seconds, self.limits.refused_bytes)
        return failure

    async def _refuse(self, transport: SocketTransport, failed: CallFailed) -> None:
        """Respond with an error."""
        headers = (("Retry-After", "5"),) if failed.status == 503 else ()
        answer = response(failed.status, failed.reason, headers=headers, plain=True)
        await transport.answer_and_linger(answer, self.limits.linger_seconds, self.limits.refused_bytes)


class _Side:
    """One side of a call: a stream, and its HTTP connection in h11."""

    def __init__(self, stream: trio.abc.Stream, wire: h11.Connection, piece_bytes: int) -> None:
        self.stream = stream
        self._piece_bytes = piece_bytes
        self.wire = wire
        self.eof = False

    async def receive(self) -> Any:
        """The next event."""
        while (event := self.wire.next_event()) is h11.NEED_DATA:
            data = bytes(await self.stream.receive_some(self._piece_bytes))
            self.eof = not data
            self.wire.receive_data(data)
        return event

    async def send(self, event: h11.Event) -> None:
        """Send an event."""
        if data := self.wire.send(event):
            await self.stream.send_all(data)


class _Call:
    """One request and its response. `begun`: some of the response was sent."""

    def __init__(
        self, to: Forwarder, transport: SocketTransport, head: Head, pipelined: bytes, remote: str
    ) -> None:  # fmt: skip
        self.to = to
        framing = framing_of(head)
        if int(framing.get("content-length", 0)) > to.max_body:
            raise self._too_big()
        self.client = _Side(transport, client_side(head, framing, pipelined), to.limits.piece_bytes)
        self.request = request_of(head, framing, remote, to.authority, to.path)
        self.failed: CallFailed | None = None
        self.begun = False
        self._waiting_for_client = False

    @property
    def request_read(self) -> bool:
        """Whether the request was read to its end."""
        return self.client.wire.their_state is h11.DONE

    def too_late(self) -> CallFailed:
        """The call took too long; whose fault that is."""
        if self._waiting_for_client:
            return CallFailed(408, "rest_timeout", "the body did not arrive in time")
        return CallFailed(504, "rest_timeout", "the server behind this listener did not answer in time")

    def _too_big(self) -> CallFailed:
        return CallFailed(413, "rest_body", f"the body is larger than {self.to.max_body} bytes")

    async def run(self) -> None:
        """Forward the request and the response; sets `failed`."""
        try:
            stream = await self._connect()
        except OSError:
            self.failed = _broken("cannot be reached")
            return
        server = _Side(stream, h11.Connection(h11.CLIENT), self.to.limits.piece_bytes)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward_request, server, nursery.cancel_scope)
                try:
                    await self._forward_response(server)
                except CallFailed as failed:
                    self.failed = failed
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    async def _connect(self) -> trio.abc.Stream:
        stream = await trio.open_tcp_stream(self.to.host, self.to.port)
        if self.to.tls is None:
            return stream
        return trio.SSLStream(stream, self.to.tls, server_hostname=self.to.host, https_compatible=True)

    # --- from the client to the server --------------------------------------------------------------------------

    async def _forward_request(self, server: _Side, scope: trio.CancelScope) -> None:
        """Forward the request; then cancel the call if the client closes the connection."""
        try:
            await self._stream_request(server)
            if await self.client.stream.receive_some(1):
                return
        except CallFailed as failed:
            self.failed = failed
        scope.cancel()

    async def _stream_request(self, server: _Side) -> None:
        await _send(server, self.request)
        if self.client.wire.they_are_waiting_for_100_continue:
            await self.client.send(h11.InformationalResponse(status_code=100, headers=[]))
        left = self.to.max_body
        while type(event := await self._receive_request()) is h11.Data:
            left -= len(event.data)
            if left < 0:
                raise self._too_big()
            await _send(server, event)
        await _send(server, h11.EndOfMessage())  # without trailers

    async def _receive_request(self) -> Any:
        self._waiting_for_client = True
        try:
            event = await self.client.receive()
        except h11.RemoteProtocolError as exc:
            if self.client.eof:
                raise trio.BrokenResourceError("the client closed in the middle of its request") from exc
            raise CallFailed(400, "bad_request", "the body is not what Transfer-Encoding: chunked says it is") from exc
        self._waiting_for_client = False
        return event

    # --- from the server to the client --------------------------------------------------------------------------

    async def _forward_response(self, server: _Side) -> None:
        """Stream the response; one that is no longer than a piece waits until all of it has arrived."""
        short: list[h11.Event] = []
        is_short = False
        while type(event := await _receive(server)) is not h11.EndOfMessage:
            if type(event) is h11.Response:
                event = response_of(event)
                is_short = body_length(event) <= self.to.limits.piece_bytes
            elif type(event) is not h11.Data:
                continue
            if is_short:
                short.append(event)
            else:
                self.begun = True
                await self.client.send(event)
        self.begun = True
        for event in short:
            await self.client.send(event)
        await self.client.send(h11.EndOfMessage())


async def _send(server: _Side, event: h11.Event) -> None:
    try:
        await server.send(event)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # it reads no more of the request; whether it has responded is found where that is read


async def _receive(server: _Side) -> Any:
    try:
        event = await server.receive()
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError) as exc:
        raise _broken("broke off, or did not answer in HTTP") from exc
    if type(event) is h11.ConnectionClosed:
        raise _broken("closed the connection without an answer")
    return event


def _broken(what: str) -> CallFailed:
    return CallFailed(502, "rest_backend", f"the server behind this listener {what}")
