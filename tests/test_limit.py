"""The limit on a test's time: whatever hangs fails, and the tests behind it run as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HANGING = """
import time
import pytest
import trio

async def test_that_sleeps():
    await trio.sleep(60)

async def test_that_blocks():
    time.sleep(60)

async def test_that_spins():
    while True:
        await trio.lowlevel.checkpoint()

def test_without_trio():
    time.sleep(60)

@pytest.fixture
def slow():
    yield
    time.sleep(60)

def test_whose_end_hangs(slow):
    pass

async def test_of_a_virtual_hour(autojump_clock):
    await trio.sleep(3600)

@pytest.mark.parametrize("number", range(3))
async def test_that_is_fine(number):
    await trio.sleep(0.01)
"""


BEYOND_HELP = """
import trio

async def test_that_cannot_be_cancelled():
    with trio.CancelScope(shield=True):
        await trio.sleep(60)

async def test_that_is_fine():
    pass
"""


def outcome(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Of a run with a limit of 0.3 s."""
    (folder / "test_hanging.py").write_text(tests)
    root = Path(__file__).parents[1]
    options = ["-c", os.devnull, "--rootdir", str(folder), "-o", "trio_mode=true", "-o", "limit_seconds=0.3"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.limit", "-p", "no:cacheprovider", "-rA", *options, str(folder)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


def test_what_hangs_fails_alone(tmp_path: Path) -> None:
    done = outcome(tmp_path, HANGING)
    assert "4 failed, 5 passed, 1 error in" in done.stdout, done.stdout
    assert done.stdout.count("the test took longer than 0.3 s") >= 5
    fine = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    assert [line.rpartition("::")[2] for line in fine] == [
        "test_whose_end_hangs", "test_of_a_virtual_hour", *(f"test_that_is_fine[{number}]" for number in range(3)),
    ]  # fmt: skip


def test_what_cannot_be_ended_ends_the_session(tmp_path: Path) -> None:
    """And says which test it was."""
    done = outcome(tmp_path, BEYOND_HELP)
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert "test_that_cannot_be_cancelled: the test took longer than 0.3 s, and cannot be ended" in done.stdout
