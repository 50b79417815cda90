"""One io_uring: many sends in one system call, through ctypes, so that nothing has to be compiled or installed.

Law 1: no entry outlives its call. The descriptor, address and length of each are written just before the kernel reads
them, from what the caller passes: a descriptor that was closed, and used again, is in no older entry.
Law 2: nothing waits for a socket. With `MSG_DONTWAIT` the kernel completes each send, or refuses it, within the call.
Law 3: each entry that the kernel took is accounted for by its completion. If one is still missing after the ring was
asked again and again, the outcome of that send is unknown: then the ring has failed, and is not used again.
Law 4: the ring is set up without a flag. SINGLE_ISSUER, DEFER_TASKRUN and NO_SQARRAY were measured: they make no send
cheaper, and each is one more thing that a kernel may refuse. Without SQPOLL the kernel touches the ring only within
the call, so that both sides do so one after the other, and need no barrier.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
from array import array

ENTRIES = 128
"""Sends in one call. Half as many cost 2 % more, and more gain nothing; all others of the process wait for a call."""
ATTEMPTS = 10
"""How often the ring is asked for missing completions before it has failed."""
PAUSE = 0.01
"""How long, in seconds, each of these waits. None was ever missing: 0.1 s at most, once."""

SYS_SETUP, SYS_ENTER = 425, 426  # the same on all architectures
SQES = 0x10000000  # the offset at which the entries are mapped
SINGLE_MMAP = 1  # a feature: both queues are in one mapping; Linux 5.4
GETEVENTS = 1  # of enter: complete what waits to be completed
SEND = 26  # the operation; Linux 5.6
ENTRY, COMPLETION = 64, 16  # bytes of each
WORD = 0xFFFFFFFF
PARAMS = 30  # words of the parameters of setup
AGAIN = {errno.EINTR, errno.EAGAIN, errno.EBUSY}
"""With these the kernel asks to be called again."""


class Kernel:
    """The system calls of io_uring. Raises `OSError` where they cannot be used, or a call fails."""

    def __init__(self) -> None:
        try:
            import ctypes  # some Pythons have none; a sandbox may forbid what its import does
        except (ImportError, MemoryError) as exc:
            raise OSError(errno.ENOSYS, "ctypes cannot be imported") from exc
        self._ctypes = ctypes
        long, word, pointer = ctypes.c_long, ctypes.c_uint, ctypes.c_void_p
        library = ctypes.CDLL(None, use_errno=True)
        self._setup, self._enter = library["syscall"], library["syscall"]
        self._setup.argtypes = [long, word, pointer]
        self._enter.argtypes = [long, word, word, word, word, pointer, ctypes.c_size_t]
        self._setup.restype = self._enter.restype = long

    def address(self, data: bytes) -> int:
        """Where the bytes are in memory, for as long as `data` lives."""
        return self._ctypes.cast(self._ctypes.c_char_p(data), self._ctypes.c_void_p).value or 0

    def setup(self, entries: int, params: array[int]) -> int:
        """Make a ring, and fill in `params`; returns its descriptor, which is closed on exec."""
        return self._checked(self._setup(SYS_SETUP, entries, params.buffer_info()[0]))

    def enter(self, descriptor: int, submit: int, flags: int) -> int:
        """Submit entries without waiting for completions; returns how many were taken."""
        return self._checked(self._enter(SYS_ENTER, descriptor, submit, 0, flags, None, 0))

    def pause(self, descriptor: int) -> None:
        """Wait a moment for a completion."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(1000 * PAUSE)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = self._ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


class Ring:
    """The memory of one ring. Raises `OSError` where there is none to be had."""

    def __init__(self, kernel: Kernel, entries: int = ENTRIES) -> None:
        self.failure = ""
        """Why it must not be used any more; empty while it may."""
        self._error = ""
        self._kernel = kernel
        self.address = kernel.address
        params = array("I", bytes(4 * PARAMS))
        self._descriptor = kernel.setup(entries, params)
        self._maps: list[mmap.mmap] = []
        self._views: list[memoryview] = []
        try:
            self._map(params)
        except BaseException:
            self.close()
            raise

    def _map(self, params: array[int]) -> None:
        """Map both queues and the entries, and write what is the same in all entries, once."""
        self._entries, self._completions, features = params[0], params[1], params[5]
        sq_head, sq_tail, *_, sq_array = params[10:17]
        cq_head, cq_tail, _, _, _, cqes = params[20:26]
        if not features & SINGLE_MMAP:
            raise OSError(errno.ENOSYS, "the kernel is older than Linux 5.4")
        size = max(cqes + COMPLETION * self._completions, sq_array + 4 * self._entries)
        queues, entries = self._mapped(size, 0), self._mapped(ENTRY * self._entries, SQES)
        self._words = self._view(queues[: size & ~3], "I")
        self._sq_head, self._sq_tail, self._cq_head, self._cq_tail = (
            offset // 4 for offset in (sq_head, sq_tail, cq_head, cq_tail)
        )
        completions = queues[cqes : cqes + COMPLETION * self._completions]
        self._results = self._view(completions, "i", 2, 4)
        self._indexes = self._view(completions, "Q", 0, 2)
        self._to = self._view(entries, "i", 1, 16)
        self._addresses = self._view(entries, "Q", 2, 8)
        self._sizes = self._view(entries, "I", 6, 16)
        operations, flags = self._view(entries, "B", 0, ENTRY), self._view(entries, "I", 7, 16)
        indexes = self._view(entries, "Q", 4, 8)
        for index in range(self._entries):
            self._words[sq_array // 4 + index] = indexes[index] = index
            operations[index] = SEND
            flags[index] = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        self._tail: int = self._words[self._sq_tail]

    def _mapped(self, size: int, offset: int) -> memoryview:
        self._maps.append(mmap.mmap(self._descriptor, size, mmap.MAP_SHARED, offset=offset))
        self._views.append(view := memoryview(self._maps[-1]))
        return view

    def _view(self, memory: memoryview, kind: str, first: int = 0, step: int = 1) -> memoryview[int]:
        """A column of a table: from the first of a number of that kind, each so many further on."""
        whole = memory.cast(kind)  # type: ignore[call-overload]
        view: memoryview[int] = whole[first::step]
        self._views += [whole, view]
        return view

    def room(self, wanted: int) -> int:
        """How many entries the next `send` may have: they never go round the end of the ring."""
        return min(wanted, self._entries - self._tail % self._entries)

    def send(
        self, descriptors: memoryview[int], addresses: memoryview[int], sizes: memoryview[int]
    ) -> list[int | None] | None:
        """Send so many bytes from each address to each socket; at most `room` of them. None: each took all of it.

        Else the result of each, negative for an error, and None where it is unknown. The list is shorter if the ring
        failed before the rest was sent.
        """
        count, start = len(sizes), self._tail % self._entries
        end = start + count
        self._to[start:end], self._addresses[start:end], self._sizes[start:end] = descriptors, addresses, sizes
        self._words[self._sq_tail] = self._tail = (self._tail + count) & WORD
        try:
            self._kernel.enter(self._descriptor, count, 0)
        except OSError as exc:
            self._note(exc)
        head, tail = self._words[self._cq_head], self._words[self._cq_tail]
        if (tail - head) & WORD == count and not self.failure:
            first = head % self._completions
            # No result is greater than what was asked for, so that equal columns are whole sends in any order.
            if self._results[first : first + count].tobytes() == sizes.tobytes():
                self._words[self._cq_head] = tail
                return None
        return self._collect(start, count)

    def _collect(self, start: int, count: int) -> list[int | None]:
        """Some send was not whole, or is not completed: account for each of them."""
        results: list[int | None] = [None] * count
        for attempt in range(ATTEMPTS):
            self._reap(start, results)
            unread = self._unread()
            if unread > count:  # what cannot be is not believed: nothing of it is sent again
                self.failure = "the kernel has taken more entries than there are"
                return results
            if self.failure or None not in results:
                break
            if attempt:
                self._kernel.pause(self._descriptor)
            try:
                self._kernel.enter(self._descriptor, unread, GETEVENTS)
            except OSError as exc:
                self._note(exc)
        self._reap(start, results)
        if None in results and not self.failure:
            self.failure = f"{results.count(None)} of {count} sends were not completed{self._error}"
        return results[: count - self._unread()]

    def _reap(self, start: int, results: list[int | None]) -> None:
        """Take the completions that have come."""
        head, tail = self._words[self._cq_head], self._words[self._cq_tail]
        for position in range((tail - head) & WORD):
            at = (head + position) % self._completions
            index = self._indexes[at] - start
            if 0 <= index < len(results) and results[index] is None:
                results[index] = self._results[at]
            else:
                self.failure = "a send was completed twice, or was never asked for"
        self._words[self._cq_head] = tail

    def _unread(self) -> int:
        """How many entries the kernel has not taken. It takes them in order, and only when it is entered."""
        return (self._tail - self._words[self._sq_head]) & WORD

    def _note(self, exc: OSError) -> None:
        self._error = f": {exc.strerror}"
        if exc.errno not in AGAIN:
            self.failure = f"io_uring_enter{self._error}"

    def close(self) -> None:
        """Give it back. Safe to call twice."""
        while self._views:
            self._views.pop().release()
        while self._maps:
            self._maps.pop().close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
