"""A machine of its own with a real systemd: Debian in a directory, booted by systemd-nspawn, gone when it is left.

Nothing of it reaches the network or the disk of the host: it has a loopback interface alone, what it writes is in memory,
and the wheels that it installs are fetched beforehand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).parent.parent.parent
SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "curl", "man-db")
TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
BOOT_SECONDS = 60.0


class Failed(Exception):
    """A command in the machine failed; the text is what it said."""


def missing() -> str | None:
    """Why no machine can be made here; None where one can."""
    lacking = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if lacking:
        return f"apt-get install {' '.join(lacking)}"
    return None if os.geteuid() == 0 else "run it as root: it boots a machine"


def prepare(place: Path, mirror: str) -> None:
    """Make what the machine is booted from, once: the system under `base`, wheels, and a copy of the repository."""
    base = place / "base"
    if not (base / "etc/debian_version").exists():
        shutil.rmtree(base, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(base), mirror)
        (base / "etc/hosts").write_text("127.0.0.1 localhost\n")
        # A minimal image leaves manual pages out, and ours are to be read.
        (base / "etc/dpkg/dpkg.cfg.d/docker").unlink(missing_ok=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(place / "wheels"),
        "--python-version", PYTHON, "--only-binary", ":all:", *wanted,
    )  # fmt: skip
    shutil.rmtree(place / "source", ignore_errors=True)
    (place / "source").mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_file():
            shutil.copy2(REPOSITORY / name, place / "source" / name)


def _run(*command: str) -> None:
    print("+", " ".join(command[:6]), "...", flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Machine:
    """A booted system, as a context manager; `do` runs a shell script in it as root."""

    def __init__(self, place: Path) -> None:
        self._boot = subprocess.Popen(
            [
                "systemd-nspawn", "--quiet", f"--directory={place / 'base'}", "--volatile=overlay", "--boot",
                "--machine=gatewayd-test", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
                f"--bind-ro={place / 'wheels'}:/wheels", f"--bind-ro={place / 'source'}:/source",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Machine:
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                state = self.do("systemctl is-system-running || true").strip()
            except Failed:
                state = "not yet there"
            if state in ("running", "degraded"):
                return self
            if time.monotonic() > deadline or self._boot.poll() is not None:
                self._boot.kill()
                _, said = self._boot.communicate()
                raise Failed(f"the machine did not boot within {BOOT_SECONDS:g} s ({state}): {said}")
            time.sleep(0.2)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._boot.terminate()  # its init ends everything in it
        try:
            self._boot.wait(20)
        except subprocess.TimeoutExpired:
            self._boot.kill()
            self._boot.wait()

    def _init(self) -> str:
        found = subprocess.run(["pgrep", "-P", str(self._boot.pid)], capture_output=True, text=True, check=False)
        return found.stdout.split()[0] if found.stdout.split() else "0"

    def do(self, script: str, *, user: str = "root", seconds: float = 120.0) -> str:
        """Run a shell script; its output, or `Failed` with it where it does not exit with 0."""
        init = self._init()
        if init == "0":
            raise Failed("there is no init yet")
        environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "HOME=/root",
        ]
        offline = ["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels", "PIP_DISABLE_PIP_VERSION_CHECK=1"]
        inner = ["bash", "-euo", "pipefail", "-c", script]
        as_user = [] if user == "root" else ["runuser", "-u", user, "--"]
        done = subprocess.run(
            ["nsenter", "-t", init, "-a", "--", "env", "-i", *environment, *offline, *as_user, *inner],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"exit {done.returncode} of: {script.strip()}\n{done.stdout}")
        return done.stdout

    def file(self, path: str, text: str) -> None:
        """Write a file."""
        self.do(f"mkdir -p {Path(path).parent} && cat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE")

    def until(self, script: str, *, seconds: float = 20.0) -> str:
        """Try a script again until it succeeds; the last `Failed` when it never does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.do(script)
            except Failed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
