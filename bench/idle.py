"""Many idle clients: connect, identify as utilbot, beat, stay; then what a client costs and how fast admin answers.

    python bench/idle.py --clients 5000 --seconds 60

Starts a daemon of its own on a free port. The clients are raw sockets on Trio, so that they cost little themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

CONFIG = """
[admin]
socket = "{admin}"
[limits]
max_clients = 20000
max_clients_per_ip = 20000
max_unidentified = 20000
[[listeners]]
name = "bots"
protocol = "utilbot"
bind = "127.0.0.1:{port}"
heartbeat_interval = "20s"
"""
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(payload: object) -> bytes:
    """A client frame with a zero mask."""
    body = json.dumps(payload).encode()
    return bytes((0x81, 0x80 | len(body))) + b"\0\0\0\0" + body


async def client(port: int, number: int, gate: trio.CapacityLimiter, done: list[float], alive: list[int]) -> None:
    """One client: identify, then beat every 15 s and read whatever comes."""
    async with gate:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(REQUEST)
        got = b""
        while b"heartbeat" not in got:
            got += await stream.receive_some()
        await stream.send_all(frame({"op": 1, "t": "identify", "d": {"type": "t", "key": "k", "id": str(number)}}))
        while b"bot_connect_success" not in got:
            got += await stream.receive_some()
        done.append(trio.current_time())
    alive[0] += 1
    try:
        async with trio.open_nursery() as nursery:

            async def beat() -> None:
                await trio.sleep(number % 150 / 10)
                while True:
                    await stream.send_all(frame({"op": 10}))
                    await trio.sleep(15)

            nursery.start_soon(beat)
            while await stream.receive_some():
                pass
            nursery.cancel_scope.cancel()
    finally:
        alive[0] -= 1


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident memory of a process in KB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


async def measure(count: int, seconds: float, port: int, admin: str, pid: int) -> None:
    """Run the clients and print one table."""
    before, start_cpu, start = rss(pid), cpu(pid), trio.current_time()
    done: list[float] = []
    alive = [0]
    gate = trio.CapacityLimiter(200)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(client, port, number, gate, done, alive)
        with trio.fail_after(120):
            while len(done) < count:
                await trio.sleep(0.05)
        connected, connect_cpu = max(done) - start, cpu(pid) - start_cpu
        print(f"connected and identified   {count / connected:8.0f} /s   ({connect_cpu / count * 1e6:.0f} µs CPU each)")
        print(f"memory per idle client     {(rss(pid) - before) / count:8.1f} KB")
        idle_cpu = cpu(pid)
        await trio.sleep(seconds)
        load = (cpu(pid) - idle_cpu) / seconds * 100
        print(f"still there after {seconds:.0f} s     {alive[0]:8d}       ({load:.1f} % of a core)")
        for arguments in (["sessions"], ["sessions", "--all"], ["--json", "status"]):
            began = time.perf_counter()
            result = await trio.run_process(
                [sys.executable, "-c", "from gatewayd.ctl.main import run; run()", "--socket", admin, *arguments],
                capture_stdout=True,
            )
            lines = len(result.stdout.splitlines())
            print(f"gatewayctl {' '.join(arguments):16} {time.perf_counter() - began:8.2f} s     ({lines} lines)")
        nursery.cancel_scope.cancel()


def main() -> None:
    """Start a daemon, run the clients, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config, admin = Path(folder, "gatewayd.toml"), str(Path(folder, "admin.sock"))
        config.write_text(CONFIG.format(admin=admin, port=port))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "gatewayd", "run", "--config", config, "--log-level", "warning"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert daemon.stdout is not None
        for line in daemon.stdout:
            if line.startswith("admin socket"):
                break
        try:
            trio.run(measure, args.clients, args.seconds, port, admin, daemon.pid)
        finally:
            daemon.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
