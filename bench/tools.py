"""What a run of the benchmarks needs on this machine: a compiler, a certificate, Node's packages, open files."""

from __future__ import annotations

import resource
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench.version import OURS, Version

HERE = Path(__file__).parent
PEERS = HERE / "peers"
NODE_FILES = ("package.json", "node_ws.js", "node_zlib.js", "node_http.js")


class Unavailable(Exception):
    """Something that a server or the generator needs is not on this machine."""


@dataclass(frozen=True)
class Tools:
    """What was built for this run."""

    folder: Path
    """A temporary directory of this run."""
    version: Version = field(default=OURS)
    """The gatewayd that is measured."""

    @classmethod
    def build(cls, folder: Path) -> Tools:
        """Compile the generator and the limit server."""
        tools = cls(folder)
        tools.program("load")
        tools.program("limit")
        return tools

    def program(self, name: str, *options: str) -> str:
        """A compiled program; `options` are the compiler's, and make it another one."""
        path = self.folder / "-".join((name, *(option.lstrip("-") for option in options)))
        if not path.exists():
            if shutil.which("cc") is None:
                raise Unavailable("cc is needed to build the load generator")
            command = ["cc", "-O2", "-o", str(path), str(HERE / f"{name}.c"), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"{name}.c does not compile: {done.stderr.strip()[:300]}")
        return str(path)

    def load(self, *, tls: bool) -> str:
        """The load generator."""
        return self.program("load", "-DTLS", "-lssl", "-lcrypto") if tls else self.program("load")

    def certificate(self) -> tuple[str, str]:
        """A certificate of its own for this run, and its key."""
        cert, key = str(self.folder / "cert.pem"), str(self.folder / "key.pem")
        if not Path(cert).exists():
            if shutil.which("openssl") is None:
                raise Unavailable("openssl is needed to make a certificate")
            curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            names = ["-subj", "/CN=localhost", "-keyout", key, "-out", cert]
            subprocess.run(["openssl", "req", "-x509", *curve, *names], capture_output=True, check=True)
        return cert, key

    def node(self, script: str) -> list[str]:
        """The start of a Node.js peer's command line; its packages are installed once a run."""
        home = self.folder / "node"
        if not home.exists():
            if shutil.which("npm") is None:
                raise Unavailable("npm is not installed")
            home.mkdir()
            for name in NODE_FILES:
                shutil.copy(PEERS / name, home)
            install = ["npm", "install", "--no-audit", "--no-fund"]
            done = subprocess.run(install, cwd=home, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"npm install failed: {done.stderr.strip()[-200:]}")
        return ["node", str(home / script)]


def raise_files() -> None:
    """As many open files as this process and those that it starts may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
