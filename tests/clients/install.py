"""What the clients need, from the registries' ordinary clients: a virtual environment of Python, folders of npm."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

DISCODO = (
    # The versions that discodo 3.0.5 asks for were made for Python 3.7 and have no wheels for one of today. These are
    # what its client part runs on: of PyAV the last that lets itself be subclassed, of websockets one that has both the
    # interface of 9.1 and an event loop without the `loop` argument.
    "discodo==3.0.5",
    "discord.py==1.7.3",
    "websockets==10.4",
    "av==12.3.0",
    "youtube-related==1.0.2",
    "youtube-dl==2021.12.17",
    "asyncspotify==0.12.1",
)
BESIDE = ("aiohttp>=3.9,<4", "PyNaCl", "psutil", "beautifulsoup4", "lxml", "defusedxml")
"""What discodo imports besides, in the version that pip chooses."""
BOTS = ("discord.py", "hikari")
"""The libraries of Discord's bots, each in its current release: they are what a listener has to please today."""
ZSTD = ("zstandard", "backports.zstd")
"""With these, discord.py and hikari ask for zstd-stream by themselves."""
NODE = {
    "discord.js": ("discord.js@14",),
    "discord.js+zlib-sync": ("discord.js@14", "zlib-sync"),
    "ws": ("ws@8",),
    "pages": ("ws@8", "esbuild@0.25", "eventemitter3@4"),
    "discodojs": ("ws@7", "node-fetch@2", "node-version-compare@1", "discord.js@12.5.3"),
}


class Missing(Exception):
    """There is nothing to run a client with; the text says what."""


class Failed(Exception):
    """A registry's client did not install what it should have."""


def _done(folder: Path, wanted: tuple[str, ...]) -> Path | None:
    """The file that says that `folder` holds what is wanted; None when it does already. What is half done goes."""
    mark = folder / f"installed-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]}"
    if mark.exists():
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return mark


def _run(*command: object, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"could not be installed: {' '.join(map(str, command[:4]))} …\n{done.stdout}{done.stderr}")


def discodo(into: Path) -> Path:
    """The Python of an environment that has discodo 3.0.5."""
    folder = into / "discodo"
    python = folder / "bin" / "python"
    if (mark := _done(folder, DISCODO + BESIDE)) is not None:
        _run(sys.executable, "-m", "venv", folder)
        pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile")
        _run(*pip, "--only-binary", ":all:", *BESIDE)
        _run(*pip, "--no-deps", *DISCODO)
        mark.touch()
    return python


def bots(into: Path) -> Path:
    """The Python of an environment that has discord.py and hikari."""
    folder = into / "bots"
    python = folder / "bin" / "python"
    if (mark := _done(folder, BOTS)) is not None:
        _run(sys.executable, "-m", "venv", folder)
        _run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", *BOTS)
        mark.touch()
    return python


def zstd(into: Path) -> Path:
    """A folder for PYTHONPATH that has what discord.py and hikari look for before they ask for zstd-stream."""
    folder = into / "zstd"
    if (mark := _done(folder, ZSTD)) is not None:
        pip = (bots(into), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:")
        _run(*pip, "--target", folder / "packages", *ZSTD)
        mark.touch()
    return folder / "packages"


def modules(into: Path, name: str) -> Path:
    """The node_modules of one set of packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Missing("there is no Node with npm on this machine")
    folder = into / name
    if (mark := _done(folder, NODE[name])) is not None:
        (folder / "package.json").write_text('{"private": true}')
        scripts = () if "zlib-sync" in NODE[name] else ("--ignore-scripts",)  # it is compiled here
        _run(npm, "install", "--no-audit", "--no-fund", *scripts, *NODE[name], cwd=folder)
        mark.touch()
    return folder / "node_modules"
