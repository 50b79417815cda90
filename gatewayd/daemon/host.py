"""How the machine is doing, from /proc: what discodo's STATUS reports. Never raises; what cannot be read is 0."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

MEGABYTE = 1_000_000
PROC = Path("/proc")


def status(proc: Path = PROC) -> dict[str, int]:
    """Memory in MB (10^6 bytes), load in percent of all cores, network in MB since boot; whole numbers.

    ProcessLoad is this process's CPU time over its life; TotalLoad is the load average of one minute.
    """
    cores = os.cpu_count() or 1
    memory = _fields(proc / "meminfo", r"(\w+):\s+(\d+) kB")
    used = _fields(proc / "self/status", r"(VmRSS):\s+(\d+) kB")
    received, sent = _network(proc / "net/dev")
    return {
        "UsedMemory": used.get("VmRSS", 0) * 1024 // MEGABYTE,
        "TotalMemory": memory.get("MemTotal", 0) * 1024 // MEGABYTE,
        "ProcessLoad": round(100 * _process_load(proc) / cores),
        "TotalLoad": round(100 * _load_average(proc) / cores),
        "Cores": cores,
        "Threads": threading.active_count(),
        "NetworkInbound": received // MEGABYTE,
        "NetworkOutbound": sent // MEGABYTE,
    }


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _fields(path: Path, pattern: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(pattern, _read(path))}


def _network(path: Path) -> tuple[int, int]:
    """Bytes received and sent by all interfaces but loopback."""
    rows = [line.split(":", 1) for line in _read(path).splitlines() if ":" in line]
    counts = [numbers.split() for name, numbers in rows if name.strip() != "lo"]
    return sum(int(row[0]) for row in counts), sum(int(row[8]) for row in counts)


def _load_average(proc: Path) -> float:
    return float((_read(proc / "loadavg").split() or ["0"])[0])


def _process_load(proc: Path) -> float:
    """CPU seconds per second of this process's life."""
    fields = _read(proc / "self/stat").rpartition(") ")[2].split()
    uptime = _read(proc / "uptime").split()
    if not fields or not uptime:
        return 0.0
    tick = os.sysconf("SC_CLK_TCK")
    age = float(uptime[0]) - int(fields[19]) / tick
    return (int(fields[11]) + int(fields[12])) / tick / age if age > 0 else 0.0
