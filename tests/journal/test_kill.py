"""SIGKILL at any moment: the file opens, what was said to be committed is there, and no transaction is there by half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gatewayd.core.record import Table
from gatewayd.journal.engine import Journal

WRITER = """
import sys
from pathlib import Path
import trio
from gatewayd.core.record import Table
from gatewayd.journal.engine import Journal

class Nobody:
    def gather(self):
        pass

    def snapshot(self):
        return ()

async def main():
    journal = Journal.open(Path(sys.argv[1]), interval=0.001)
    first = max((key for key, _ in journal.load(Table.LIFECYCLE)), default=0) + 1
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Nobody())
        for number in range(first, first + 1_000_000):
            journal.put(Table.SESSIONS, f"s{number}", b'"' + b"x" * 500 + b'"')
            journal.put(Table.NOTIFICATIONS, ("r", f"s{number % 10}", number), b'"' + b"x" * 500 + b'"')
            journal.put(Table.LIFECYCLE, number, b"1")
            if number > 50:
                journal.delete(Table.SESSIONS, f"s{number - 50}")
            if number % 5 == 0 and await journal.committed():
                print(number, flush=True)

trio.run(main)
"""


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    acknowledged = 0
    chance = random.Random(seed)
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
            said = writer.stdout.read().split()
        if said:
            acknowledged = int(said[-1])
        journal = Journal.open(tmp_path)
        lifecycle = [key for key, _ in journal.load(Table.LIFECYCLE)]
        sessions = {key for key, _ in journal.load(Table.SESSIONS)}
        missed = [key[2] for key, _ in journal.load(Table.NOTIFICATIONS) if isinstance(key, tuple)]
        journal.close()
        assert lifecycle == list(range(1, len(lifecycle) + 1))
        assert len(lifecycle) >= acknowledged
        assert sorted(missed) == lifecycle
        assert sessions == {f"s{number}" for number in lifecycle[-50:]}
