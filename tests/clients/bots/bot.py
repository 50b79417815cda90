"""A bot as a process (`tests/clients/peers/bot_*`), and what it told of what it heard."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import define, field


@define(eq=False)
class Bot:
    """`told` has its lines. What it dispatched has a number, a name and data: `s`, `t`, `d`."""

    process: trio.Process
    log: Path
    told: list[dict[str, Any]] = field(factory=list)

    @classmethod
    async def start(cls, command: Sequence[str], environment: dict[str, str], log: Path) -> Bot:
        """Run one; `listen` has to run beside."""
        with log.open("w") as errors:
            process = await trio.lowlevel.open_process(
                command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        return cls(process, log)

    async def listen(self) -> None:
        """Take in its lines until it ends."""
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            self.told += map(json.loads, lines)

    async def until(self, what: str, true: Callable[[Bot], Any], seconds: float = 20) -> None:
        """Wait for what it has to tell."""
        with trio.move_on_after(seconds):
            while not true(self):
                await trio.sleep(0.02)
            return
        raise AssertionError(f"never, in {seconds:g} s: {what}\n{self}")

    async def leave(self) -> None:
        """Say goodbye, as the library does."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        with trio.move_on_after(10):
            await self.process.wait()

    def count(self, key: str, value: Any) -> int:
        """So many lines say this."""
        return sum(line.get(key) == value for line in self.told)

    @property
    def events(self) -> list[Any]:
        """The `n` of the events that a case published, in the order of arrival."""
        return [line["d"]["n"] for line in self.told if "t" in line and "n" in line["d"]]

    @property
    def library(self) -> str:
        """Its name and version, by its own word."""
        return next((line["library"] for line in self.told if "library" in line), "")

    @property
    def ready(self) -> dict[str, Any]:
        """The data of its READY: the only one."""
        (data,) = (line["d"] for line in self.told if line.get("t") == "READY")
        return dict(data)

    def check(self, events: Sequence[int]) -> None:
        """It heard these, each once, in order, and by its own count too."""
        assert self.events == list(events), f"heard {self.events[-100:]}, not {list(events)[-100:]}\n{self}"
        self.check_count()

    def check_count(self) -> None:
        """What it heard counts from 1, none skipped, none twice; RESUMED has the last number again."""
        last = 0
        for line in self.told:
            if line.get("t") == "RESUMED":
                assert line["s"] == last, f"RESUMED says {line['s']} after {last}\n{self}"
            elif "t" in line:
                assert line["s"] == last + 1, f"{line['s']} after {last}\n{self}"
                last += 1

    def __str__(self) -> str:
        """For whoever has to find out why."""
        lines = [json.dumps(line)[:200] for line in self.told[-60:]]
        return "\n".join([*lines, "--- its log", *self.log.read_text().splitlines()[-40:]])
