"""A client behind TLS: the same transport, with encryption between it and the socket.

Written against `ssl.MemoryBIO` rather than `trio.SSLStream`, so that a frame is encrypted and sent without waiting, and
data is decrypted without waking a task, as on a plain socket.

Law 1: encrypted bytes are sent whole and in order before anything else is encrypted.
Law 2: bytes count as taken when they are encrypted; no more than one record waits for the kernel.
Law 3: a handshake begins when there is room for it, and takes a bounded time: its memory is what makes half-open
connections expensive.
"""

from __future__ import annotations

import ssl
from weakref import WeakValueDictionary

import trio

from gatewayd.config.limits import NetLimits, TlsLimits
from gatewayd.net.epoll import RECEIVE_BYTES, Epoll, OnData, Reader
from gatewayd.net.transport import SocketTransport

RECORD_BYTES = 16384
"""The most that one TLS record holds (RFC 8446 §5.1)."""


class NotTls(trio.BrokenResourceError):
    """The peer does not speak TLS, or shares no version or cipher with us."""


class TlsHandshakes:
    """The handshakes of a node: `most` at a time, an `address_share`-th of them of one address; others wait in line.

    A handshake that finds no place lets the oldest one end after `crowded_seconds`, so that no number of silent clients
    shuts the others out for long.
    """

    def __init__(
        self, most: int = 512, limits: TlsLimits = TlsLimits(), *, address_share: int = NetLimits().address_share
    ) -> None:  # fmt: skip
        self._limits = limits
        self._address_most = max(1, most // address_share)
        self._all = trio.CapacityLimiter(most)
        self._computing = trio.Lock()
        self._by_address: WeakValueDictionary[str, trio.CapacityLimiter] = WeakValueDictionary()
        self._running: dict[trio.CancelScope, float] = {}  # with the deadline of each in a crowd, oldest first

    async def run(self, below: SocketTransport, context: ssl.SSLContext, address: str | None) -> TlsTransport:
        """Agree on keys with one client. Raises as `TlsTransport.handshake`, and `NotTls` when it takes too long."""
        its_own = trio.CapacityLimiter(self._address_most)
        if address is not None:
            its_own = self._by_address.setdefault(address, its_own)
        async with its_own:
            if not self._all.available_tokens and self._running:
                oldest = next(iter(self._running))
                oldest.deadline = min(oldest.deadline, self._running.pop(oldest))
            async with self._all:
                return await self._agree(TlsTransport(below, context, self._limits.unsent_bytes))

    async def _agree(self, transport: TlsTransport) -> TlsTransport:
        agreed = False
        try:
            with trio.move_on_after(self._limits.handshake_seconds) as patience:
                self._running[patience] = trio.current_time() + self._limits.crowded_seconds
                await transport.handshake(self._computing, self._limits.hello_bytes)
                agreed = True
        finally:
            self._running.pop(patience, None)
            if not agreed:
                transport.abort()  # otherwise it would hold itself, and the memory of TLS
        if not agreed:
            raise NotTls("the TLS handshake took too long")
        return transport


class TlsTransport(SocketTransport):
    """The server's side of TLS over a socket that only this object uses from now on; `handshake` comes first."""

    __slots__ = ("_cipher", "_eof", "_in", "_out", "_tls", "_unsent_bytes")

    def __init__(self, below: SocketTransport, context: ssl.SSLContext, unsent_bytes: int) -> None:
        super().__init__(below.sock, below.remote)
        self.waited = True
        self.send = self._send
        self._unsent_bytes = unsent_bytes
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._cipher = b""  # encrypted, and not yet taken by the kernel
        self._eof = False  # the peer sends no more

    async def handshake(self, computing: trio.Lock, hello_bytes: int) -> None:
        """Agree on keys. Raises `NotTls`, or another `trio.BrokenResourceError` when the peer closes.

        A signature takes a millisecond: with one lock for all, hundreds that begin at once do not stall the loop.
        """
        left = hello_bytes
        while True:
            try:
                async with computing:
                    self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await super().receive_some(left)
                left -= len(data)
                if not left:
                    raise NotTls(f"a TLS handshake of more than {hello_bytes} bytes") from None
                self._feed(data)
            except (ssl.SSLError, ssl.CertificateError) as exc:
                await self._flush()  # the alert tells the reason
                if self._eof:
                    raise trio.BrokenResourceError("the peer closed in the TLS handshake") from exc
                raise NotTls(f"no TLS handshake: {exc}") from exc
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        """Write what TLS itself sends."""
        self._cipher += self._out.read()
        while not self.drained():
            await self.wait_send_all_might_not_block()

    # --- out ------------------------------------------------------------------------------------------------

    def drained(self) -> bool:
        """Whether the kernel has taken all that is encrypted."""
        try:
            return self._drain()
        except OSError as exc:
            raise self._failure() from exc

    def _drain(self) -> bool:
        if self._cipher:
            try:
                self._cipher = self._cipher[self.sock.send(self._cipher) :]
            except BlockingIOError:
                return False
        return not self._cipher

    def _send(self, data: bytes) -> int:
        """As the socket's own, which may raise `OSError`: how many bytes were taken, by the kernel or into the one
        record that waits for it."""
        if not self._drain():
            return 0
        taken = self._tls.write(data[:RECORD_BYTES])
        self._cipher = self._out.read()
        if not self._drain():
            self.wake()
        return taken

    def write_first(self, data: bytes) -> int:
        """As `write_some`: each record is sent by itself."""
        return self.write_some(data)

    # --- in -------------------------------------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read at least one byte; b"" at the end."""
        found = self._decrypt()  # the handshake may have read more than its own
        while not found and not self._eof:
            self._feed(await super().receive_some())
            found = self._decrypt()
        return found

    def _feed(self, data: bytes) -> None:
        if data:
            self._in.write(data)
        else:
            self._eof = True
            self._in.write_eof()

    def _decrypt(self) -> bytes:
        """The data of all whole records that are here. Raises `trio.BrokenResourceError` if they are not TLS."""
        found = []
        try:
            while piece := self._tls.read(RECEIVE_BYTES):
                found.append(piece)
            self._eof = True  # its close_notify (RFC 8446 §6.1), after which some peers do not close
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError as exc:
            raise trio.BrokenResourceError(f"not TLS: {exc}") from exc
        self._answer()
        return b"".join(found)

    def _answer(self) -> None:
        """Write what TLS itself replies, such as new keys."""
        if self._out.pending:
            self._cipher += self._out.read()
            if len(self._cipher) > self._unsent_bytes:
                raise trio.BrokenResourceError("the peer asks for more than it reads")
            if not self.drained():
                self.wake()

    def join(self, epoll: Epoll) -> Reader:
        """As on a plain socket; what is read is decrypted."""
        super().join(epoll)
        return self

    def receive_now(self, max_bytes: int) -> bytes | None:
        """What is decrypted, and was not handed out."""
        return self._decrypt() or (b"" if self._eof else None)

    async def read(self, on_data: OnData, most: int = RECEIVE_BYTES) -> None:
        """As `SocketReader.read`, decrypted."""

        def on_records(data: bytes) -> bool:
            self._feed(data)
            found = self._decrypt()
            if found and not on_data(found):
                return False
            return on_data(b"") if self._eof else True

        assert self.reader is not None
        if not self._eof:
            await self.reader.read(on_records, most)
        else:
            await trio.lowlevel.checkpoint()
            on_data(b"")

    # --- the end --------------------------------------------------------------------------------------------

    def _close_notify(self) -> None:
        """Send the end of the stream (RFC 8446 §6.1), if that is possible without waiting."""
        try:
            self._tls.unwrap()
        except (OSError, ValueError):
            pass  # the peer has not sent its own, which is never waited for
        try:
            self._answer()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone

    def send_eof(self) -> None:
        """Tell the peer that nothing more will come."""
        self._close_notify()
        super().send_eof()

    def abort(self) -> None:
        """Close at once."""
        if self.sock.fileno() != -1:
            self._close_notify()
        self.send = self.sock.send  # otherwise this object would hold itself, and the memory of TLS
        super().abort()
