"""Places where writing fails: a small disk, a read-only directory, a limit on the size of files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def command(*words: str | Path) -> bool:
    """Run a program that may be missing or forbidden."""
    try:
        return subprocess.run(words, check=False, capture_output=True, timeout=10).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def small_disk(where: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of that size. Only root can mount one; elsewhere the test is skipped, others stand in for it."""
    where.mkdir()
    if not command("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", where):
        pytest.skip("no right to mount a small file system here")
    try:
        yield where
    finally:
        command("umount", "-l", where)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nobody may create a file there. Root may do so against any mode, and needs a read-only mount."""
    if os.geteuid() != 0:
        mode = directory.stat().st_mode
        directory.chmod(0o500)
        try:
            yield
        finally:
            directory.chmod(mode)
        return
    if not (command("mount", "--bind", directory, directory) and command("mount", "-o", "remount,bind,ro", directory)):
        command("umount", "-l", directory)
        pytest.skip("root writes everywhere, and may not mount anything here")
    try:
        yield
    finally:
        command("umount", "-l", directory)


@contextmanager
def no_writes() -> Iterator[None]:
    """No file can grow: every write beyond the first bytes of a file is an input/output error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
