"""How long gatewayctl takes to answer about many clients, as its user waits for it: the start of Python included."""

from __future__ import annotations

import subprocess
import time

from bench.measure import Figures, Work, generator
from bench.servers import serve
from bench.tools import Tools

COMMANDS = {
    "status": ("--json", "status"),
    "sessions": ("sessions",),
    "sessions --all": ("sessions", "--all"),
}
ROWS = tuple(COMMANDS)
REPEATS = 5
"""Times that each is asked for in one run."""


def measure(row: str, tools: Tools, work: Work) -> Figures:
    """Clients that stay idle while the command is run again and again; times in milliseconds."""
    with serve("gatewayd", work.protocol, tools) as server, generator(tools, server, work):
        start = tools.version.command("gatewayd.ctl.main", "--socket", str(server.admin))
        times, lines, used = [], 0, server.cpu()
        for _ in range(REPEATS):
            began = time.perf_counter()
            done = subprocess.run([*start, *COMMANDS[row]], capture_output=True, text=True, check=False)
            times.append((time.perf_counter() - began) * 1e3)
            if done.returncode:
                raise RuntimeError(f"gatewayctl {row}: {done.stderr.strip()[:200]}")
            lines = len(done.stdout.splitlines())
        used = server.cpu() - used
    times.sort()
    return {
        "p50": times[len(times) // 2],
        "max": times[-1],
        "cpu_ms": used / REPEATS * 1e3,
        "lines": lines,
    }
