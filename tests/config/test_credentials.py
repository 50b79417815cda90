"""Secrets in files: what is read, what is refused, and that no refusal shows a secret."""

import os
from pathlib import Path

import pytest

from gatewayd.config.credentials import credential_path, read_lines, read_one


def private(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\n", b"hunter2\r\n", b"\n  hunter2\n\n"])
def test_one_secret(tmp_path: Path, content: bytes) -> None:
    assert read_one(private(tmp_path / "s", content), {}) == "hunter2"


def test_several_secrets(tmp_path: Path) -> None:
    path = private(tmp_path / "s", "eins\n\nzwölf\n#three\n".encode())
    assert read_lines(path, {}) == ["eins", "zwölf", "#three"]
    with pytest.raises(ValueError, match="must hold one line, found 3") as caught:
        read_one(path, {})
    assert "eins" not in str(caught.value)


def test_a_credential(tmp_path: Path) -> None:
    private(tmp_path / "fleet", b"hunter2")
    assert read_one("credential:fleet", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "hunter2"


def test_a_path_is_no_credential() -> None:
    assert credential_path("some/path", {}) == "some/path"


def test_a_credential_without_systemd() -> None:
    with pytest.raises(ValueError, match=r"needs \$CREDENTIALS_DIRECTORY"):
        credential_path("credential:fleet", {})


@pytest.mark.parametrize("name", ["", ".", "..", "../fleet", "/etc/passwd"])
def test_a_credential_stays_in_its_directory(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a credential"):
        credential_path(f"credential:{name}", {"CREDENTIALS_DIRECTORY": "/run"})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no secret"),
        (b" \n\n", "holds no secret"),
        (b"hunter2\xff", "not UTF-8"),
        (b"hunter2\0", "NUL"),
        (b"hunter2" * 10000, "larger than 65536 bytes"),
    ],
    ids=range(5),  # pytest would put the content into tmp_path
)
def test_useless_files(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_one(private(tmp_path / "s", content), {})
    assert "hunter2" not in str(caught.value)
    assert str(tmp_path / "s") in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_file_that_everyone_reads(tmp_path: Path) -> None:
    path = private(tmp_path / "s", b"hunter2")
    Path(path).chmod(0o644)
    with pytest.raises(ValueError, match="readable by everyone"):
        read_one(path, {})
    Path(path).chmod(0o640)  # a group is a choice
    assert read_one(path, {}) == "hunter2"


def test_the_largest_file(tmp_path: Path) -> None:
    assert len(read_one(private(tmp_path / "s", b"x" * 65536), {})) == 65536
    with pytest.raises(ValueError, match="larger than 65536 bytes"):
        read_one(private(tmp_path / "s", b"x" * 65537), {})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*/missing: No such file"):
        read_one(str(tmp_path / "missing"), {})


def test_a_directory_and_a_fifo_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_one(str(path), {})
