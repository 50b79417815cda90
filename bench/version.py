"""Which gatewayd is measured: a checkout, and the interpreter that runs it.

Another commit gets a worktree, and each commit and interpreter a virtual environment, in the user's cache directory:
they are made once and found again. `git worktree list` names them, `git worktree remove --force DIR` gives one back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatewayd-bench"


@dataclass(frozen=True)
class Version:
    """A checkout of gatewayd, with the interpreter that has what it depends on."""

    name: str
    checkout: Path
    python: str

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command line that calls a module's `run`."""
        # Before everything else that the interpreter knows: the virtual environment may have another gatewayd.
        program = f"import sys; sys.path[0] = {str(self.checkout)!r}; from {module} import run; run()"
        return [self.python, "-c", program, *arguments]

    def knows(self, key: str) -> bool:
        """Whether its configuration has a key of this name; an older one has nothing that the key would change."""
        return any(key in path.read_text() for path in (self.checkout / "gatewayd/config").glob("*.py"))


OURS = Version("gatewayd", ROOT, sys.executable)


def at_commit(commit: str) -> Version:
    """gatewayd of another commit."""
    full = _output("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}")
    checkout = CACHE / full[:12]
    if not checkout.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _output("git", "-C", str(ROOT), "worktree", "prune")  # of those whose directories were deleted
        _output("git", "-C", str(ROOT), "worktree", "add", "--detach", str(checkout), full)
    return Version(f"gatewayd {full[:7]}", checkout, _environment(checkout, sys.executable, f"venv-{full[:12]}"))


def on_interpreter(python: str) -> Version:
    """This gatewayd on another interpreter."""
    show = "import platform, sys; print(sys.executable, platform.python_version())"
    path, number = _output(python, "-c", show).split()
    return Version(
        f"gatewayd on {number}", ROOT, _environment(ROOT, path, f"python-{path.replace('/', '-').strip('-')}")
    )


def _environment(checkout: Path, python: str, name: str) -> str:
    """The interpreter of a virtual environment that has what the checkout depends on."""
    home = CACHE / name
    made = home / "made"
    if not made.exists():
        # By the pip of this interpreter: another one may have none.
        _output(python, "-m", "venv", "--clear", "--without-pip", str(home))
        pip = (sys.executable, "-m", "pip", "--python", str(home / "bin/python"))
        _output(*pip, "install", "--quiet", str(checkout))
        made.touch()
    return str(home / "bin/python")


def _output(*command: str) -> str:
    """What a command prints; it is an error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()
