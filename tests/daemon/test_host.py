"""The machine's figures, real and from files made up."""

from __future__ import annotations

from pathlib import Path

from gatewayd.daemon.host import status

NAMES = [
    "UsedMemory", "TotalMemory", "ProcessLoad", "TotalLoad", "Cores", "Threads", "NetworkInbound", "NetworkOutbound",
]  # fmt: skip


def test_the_real_machine() -> None:
    figures = status()
    assert list(figures) == NAMES
    assert all(type(value) is int and value >= 0 for value in figures.values())
    assert figures["TotalMemory"] > figures["UsedMemory"] > 0


def test_without_proc_everything_that_it_tells_is_0(tmp_path: Path) -> None:
    figures = status(tmp_path)
    assert {name for name, value in figures.items() if value} == {"Cores", "Threads"}


def test_figures_are_read_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "net").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal:       2000000 kB\nMemFree: 1 kB\n")
    (tmp_path / "self/status").write_text("Name: x\nVmRSS:\t 50000 kB\n")
    (tmp_path / "loadavg").write_text("0.50 0.1 0.1 1/2 3\n")
    (tmp_path / "net/dev").write_text(
        "Inter-| Receive\n face |bytes\n    lo: 9000000 0 0 0 0 0 0 0 9000000 0\n  eth0: 3000000 0 0 0 0 0 0 0 5000000 0\n"
    )
    (tmp_path / "self/stat").write_text("1 (a b) " + " ".join(["0"] * 50))
    (tmp_path / "uptime").write_text("0.0 0.0\n")
    figures = status(tmp_path)
    assert (figures["UsedMemory"], figures["TotalMemory"]) == (51, 2048)
    assert (figures["NetworkInbound"], figures["NetworkOutbound"]) == (3, 5)
    assert figures["ProcessLoad"] == 0
