"""Secrets and keys that stand in files or systemd credentials instead of the TOML.

Every function raises ValueError with a sentence that names the file and never its content.
"""

import os
import stat
from collections.abc import Mapping

PREFIX = "credential:"
DIRECTORY = "CREDENTIALS_DIRECTORY"
_OF_THE_UNIT = "/run/credentials/gatewayd.service"
_MOST_BYTES = 65536  # no secret is larger; a wrong path may well be


def credential_path(text: str, environ: Mapping[str, str]) -> str:
    """The path that `text` means: itself, or a file of $CREDENTIALS_DIRECTORY for "credential:NAME"."""
    if not text.startswith(PREFIX):
        return text
    name = text.removeprefix(PREFIX)
    if not name or "/" in name or name in {".", ".."}:
        raise ValueError(f"{name!r} is not the name of a credential")
    directory = environ.get(DIRECTORY)
    if not directory:
        raise ValueError(f"credential {name!r} needs $CREDENTIALS_DIRECTORY, which systemd sets (LoadCredential=)")
    return os.path.join(directory, name)


class _Outside(dict[str, str]):
    """An environment in which credentials may be absent; a type, so that no variable can say so to the daemon."""


def outside_the_unit(environ: Mapping[str, str], unit: str = _OF_THE_UNIT) -> Mapping[str, str]:
    """The environment for a look at the file from outside of the service that systemd gives the credentials to.

    Root finds those of the running service; one that is not there is no mistake then, but `unchecked`.
    """
    return environ if environ.get(DIRECTORY) else _Outside({**environ, DIRECTORY: unit})


def unchecked(text: str, environ: Mapping[str, str]) -> bool:
    """Whether `text` is a credential that cannot be seen from here, and need not be."""
    if not isinstance(environ, _Outside) or not text.startswith(PREFIX):
        return False
    try:
        return not os.path.exists(credential_path(text, environ))
    except ValueError:  # whoever reads it will say so
        return False


def read_lines(text: str, environ: Mapping[str, str]) -> list[str]:
    """The secrets in a file, one a line; empty lines do not count, and one secret at least must be there."""
    path = credential_path(text, environ)
    lines = [line.strip() for line in _read(path).splitlines()]
    if not any(lines):
        raise ValueError(f"{path} holds no secret")
    return [line for line in lines if line]


def read_one(text: str, environ: Mapping[str, str]) -> str:
    """The one secret in a file."""
    lines = read_lines(text, environ)
    if len(lines) > 1:
        raise ValueError(f"{credential_path(text, environ)} must hold one line, found {len(lines)}")
    return lines[0]


def read_text(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The path of a file that need not be secret, and what it holds."""
    path = credential_path(text, environ)
    return path, _read(path, secret=False)


def _read(path: str, *, secret: bool = True) -> str:
    try:
        # Non-blocking: opening a FIFO must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            # Judged on the open file: between a look at the path and opening it, it could be exchanged.
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path} is not a regular file")
            if secret and status.st_mode & stat.S_IROTH:
                raise ValueError(f"{path} is readable by everyone; chmod o-r it")
            raw = os.read(descriptor, _MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"{path} is larger than {_MOST_BYTES} bytes")
    if b"\0" in raw:
        raise ValueError(f"{path} holds a NUL byte")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        # `from None`: the original carries the bytes of the secret.
        raise ValueError(f"{path} is not UTF-8 text") from None
