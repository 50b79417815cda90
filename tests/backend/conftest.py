"""The backend in a process of its own, as a fixture: it can be stopped, and started again on the same port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewayd.backend.http import HttpBackend
from tests.server import free_port

APPLICATION = Path(__file__).parent / "application.py"
SECRET = "hush"


class Backend:
    """A real HTTP server that is started with the first `start`."""

    def __init__(self, journal: Path) -> None:
        self.port = free_port()
        self.journal = journal
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/gateway"

    def start(self) -> None:
        """Start, and wait until it listens."""
        self.process = subprocess.Popen(
            [sys.executable, str(APPLICATION), str(self.port), SECRET, str(self.journal)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def mode(self, mode: str) -> None:
        """How lifecycle events are answered from now on."""
        self.journal.with_suffix(".mode").write_text(mode)

    def heard(self) -> list[dict[str, Any]]:
        """The lifecycle events that it has taken, in order."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

    def client(self, *, timeout: float = 5.0, secret: str | None = SECRET, most: int = 1_000_000) -> HttpBackend:
        """What the daemon asks it with."""
        return HttpBackend(self.url, secret, timeout=timeout, connections=8, max_answer_bytes=most)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    made = Backend(tmp_path / "journal")
    made.start()
    yield made
    made.stop()
