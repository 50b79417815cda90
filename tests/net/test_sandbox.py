"""A daemon in a sandbox starts: where io_uring is refused, and where the process would be killed for trying it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gatewayd.net import sandbox
from gatewayd.net.ring_fan import RingFan
from gatewayd.net.uring import Kernel

CHILD = """
import ctypes, errno, struct, sys

def filtered(number, action):
    # Of the system call of that number comes the action; all others are allowed.
    code = struct.pack("=HBBI", 0x20, 0, 0, 0) + struct.pack("=HBBI", 0x15, 0, 1, number)
    code += struct.pack("=HBBI", 0x06, 0, 0, action) + struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    text = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", 4, ctypes.addressof(text))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program):
        sys.exit("no seccomp here")

def no_new_code():
    if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
        sys.exit("no MDWE here")

KILL, REFUSE = 0x80000000, 0x00050000
{act}
from gatewayd.net.ring_fan import RingFan
with RingFan() as fan:
    print(fan.way)
"""


def way_after(act: str) -> str:
    """How a process writes that did this first."""
    done = subprocess.run([sys.executable, "-c", CHILD.format(act=act)], capture_output=True, text=True, timeout=60)
    if done.returncode == 1 and done.stderr.startswith("no "):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def here() -> str:
    """How this process writes, by its own choice."""
    with RingFan() as fan:
        return fan.way


@pytest.mark.parametrize("call", [425, 426])
def test_a_sandbox_that_kills_is_not_tried(call: int) -> None:
    assert way_after(f"filtered({call}, KILL)") == "os.write (io_uring: a sandbox forbids it)"


def test_a_sandbox_that_refuses_the_setup_is_named() -> None:
    assert way_after("filtered(425, REFUSE | errno.EPERM)") == "os.write (io_uring: Operation not permitted)"
    assert way_after("filtered(425, REFUSE | errno.ENOSYS)") == "os.write (io_uring: Function not implemented)"


def test_a_sandbox_that_refuses_the_use_is_found_out() -> None:
    if here() != "io_uring":
        pytest.skip(here())
    why = way_after("filtered(426, REFUSE | errno.EPERM)")
    assert why == "os.write (io_uring: io_uring_enter: Operation not permitted)"


def test_a_sandbox_about_other_things_changes_nothing() -> None:
    assert way_after("filtered(9999, KILL)") == here()


def test_memory_that_may_not_become_code_changes_nothing() -> None:
    assert way_after("no_new_code()") == here()


def test_a_filter_is_tried_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nSeccomp:\t2\n")
    assert isinstance(sandbox.kernel(status), Kernel)
    status.write_text("Name:\tpython\nSeccomp:\t0\n")
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert isinstance(sandbox.kernel(status), Kernel)
    status.write_text("Name:\tpython\nSeccomp:\t2\n")
    with pytest.raises(FileNotFoundError):
        sandbox.kernel(status)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="a sandbox forbids it"):
        sandbox.kernel(status)
