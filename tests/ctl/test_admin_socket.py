"""Where the socket is looked for, in which order; and what is said of a place that cannot be used."""

import grp
import os
import pwd
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gatewayd.ctl.admin_socket import AdminSocket, Unreachable, denial, find_socket

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of somebody else's")


US = pwd.getpwuid(os.geteuid()).pw_name
OURS = grp.getgrgid(os.getegid()).gr_name


def plain(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def taken(admin_socket: AdminSocket) -> str:
    path, sock = admin_socket.connect(plain)
    sock.close()
    return path


def why(*paths: Path, named: bool = True) -> str:
    with pytest.raises(Unreachable) as caught:
        taken(AdminSocket(paths, named=named))
    return str(caught.value)


@pytest.fixture
def open_base() -> Iterator[Path]:
    """A directory that anybody may enter: tmp_path itself is closed to others."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        yield Path(base)


def serve(path: Path, listen: bool = True) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    if listen:
        sock.listen()
    return sock


def test_a_named_place_is_the_only_one(tmp_path: Path) -> None:
    environ = {"GATEWAYD_SOCKET": "/env"}
    assert find_socket("/given", environ).paths == [Path("/given")]
    assert find_socket(None, environ).paths == [Path("/env")]
    usual = find_socket(None, {"GATEWAYD_SOCKET": "", "RUNTIME_DIRECTORY": "/r"})
    assert not usual.named
    assert usual.paths[:2] == [Path("/r/admin.sock"), Path("/run/gatewayd/admin.sock")]
    assert find_socket(None, {}, [tmp_path]).paths == [tmp_path]


def test_the_first_where_somebody_listens(tmp_path: Path) -> None:
    absent, left, first, second = (tmp_path / name / "admin.sock" for name in ("absent", "left", "first", "second"))
    serve(left, listen=False).close()
    with closing(serve(first)), closing(serve(second)):
        assert taken(AdminSocket([absent, left, first, second], named=False)) == str(first)


def test_without_a_daemon_every_place_that_was_tried_is_named(tmp_path: Path) -> None:
    absent, left = tmp_path / "absent" / "admin.sock", tmp_path / "left" / "admin.sock"
    serve(left, listen=False).close()
    assert why(absent, left, named=False).splitlines() == [
        "no daemon found; tried",
        f"{absent}: no such file",
        f"{left}: nobody listens (left by a daemon that has ended)",
        "gatewayd run starts one; --socket or $GATEWAYD_SOCKET names its socket",
    ]
    assert why(absent).splitlines()[0] == f"no daemon at {absent}: no such file"
    (tmp_path / "file").touch()
    assert "no such file" in why(tmp_path / "file" / "admin.sock")
    assert why(tmp_path / "file").startswith(f"no daemon at {tmp_path}/file: it is not a socket\n")


def test_a_path_too_long_for_a_socket() -> None:
    assert why(Path("/" + "x" * 200)).startswith("cannot connect to /xxx")


def test_a_daemon_that_does_not_accept(tmp_path: Path) -> None:
    def full(path: str) -> socket.socket:
        raise BlockingIOError

    with pytest.raises(Unreachable, match="does not accept connections; is it stuck or stopped"):
        AdminSocket([tmp_path], named=True).connect(full)


def test_a_directory_closed_to_us_counts_after_an_open_one(open_base: Path, as_nobody: Callable[[], None]) -> None:
    closed, free = open_base / "closed" / "admin.sock", open_base / "free" / "admin.sock"
    with closing(serve(closed)), closing(serve(free)):
        closed.parent.chmod(0o700)
        free.chmod(0o666)
        as_nobody()
        if os.geteuid() == 0:
            pytest.skip("root is denied nothing")
        assert taken(AdminSocket([closed, free], named=False)) == str(free)
        said = why(closed, named=False)
        assert said.startswith(
            f"permission denied: {closed.parent} belongs to user {US} and group {OURS}, with mode 0700: "
        )


def test_a_socket_closed_to_us_ends_the_search(open_base: Path, as_nobody: Callable[[], None]) -> None:
    closed, free = open_base / "closed.sock", open_base / "free.sock"
    with closing(serve(closed)), closing(serve(free)):
        closed.chmod(0o600)
        free.chmod(0o666)
        as_nobody()
        if os.geteuid() == 0:
            pytest.skip("root is denied nothing")
        assert why(closed, free, named=False).startswith(f"permission denied: {closed} belongs to user {US}")


class TestDenial:
    """The truth about a socket that refuses us."""

    @pytest.fixture
    def path(self, open_base: Path) -> Iterator[Path]:
        with closing(serve(open_base / "admin.sock")):
            yield open_base / "admin.sock"

    def test_mode_0600_keeps_out_its_own_group(self, path: Path) -> None:
        path.chmod(0o600)
        assert denial(path).splitlines() == [
            f"permission denied: {path} belongs to user {US} and group {OURS}, with mode 0600: "
            'its group may not pass, mode = "0660" and a group under [admin] lets it in',
            f"until then: sudo -u {US} gatewayctl …",
        ]

    def test_who_is_not_of_the_group_is_told_how_to_become(self, path: Path, as_nobody: Callable[[], None]) -> None:
        path.chmod(0o660)
        as_nobody()
        us = pwd.getpwuid(os.geteuid()).pw_name
        said = f"mode 0660: {us} is not of that group; `usermod -aG {OURS} {us}` and a new login let you in"
        assert said in denial(path, lambda gid: [])

    def test_a_login_older_than_the_membership(self, path: Path) -> None:
        path.chmod(0o660)
        assert f"mode 0660: {US} is of that group since after this login, so log in again" in denial(
            path, lambda gid: [US]
        )

    @needs_root
    def test_users_and_groups_without_a_name(self, path: Path) -> None:
        os.chown(path, 54321, 54322)
        path.chmod(0o660)
        assert "belongs to user 54321 and group 54322" in denial(path)


@needs_root
def test_a_directory_planted_where_anyone_may_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "gatewayd-0" / "admin.sock"
    with closing(serve(path)):
        tmp_path.chmod(0o1777)
        assert taken(AdminSocket([path], named=False)) == str(path)
        os.chown(path.parent, 65534, 65534)
        assert "its directory belongs to another user" in why(path, named=False)
        assert taken(AdminSocket([path], named=True)) == str(path)
        tmp_path.chmod(0o700)
