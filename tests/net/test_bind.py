"""Listening sockets, and what stands in their way."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from gatewayd.net.bind import BindError, bind_tcp, bind_unix, inherited, inode, unlink_ours


def test_tcp_has_the_options_that_clients_inherit() -> None:
    with bind_tcp("127.0.0.1", 0) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getblocking()
        with pytest.raises(BindError, match=r"cannot listen on 127\.0\.0\.1:.*is another program"):
            bind_tcp("127.0.0.1", sock.getsockname()[1])


def test_a_shared_port_takes_several_sockets_that_all_want_it_so() -> None:
    with bind_tcp("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        bind_tcp("127.0.0.1", port, shared=True).close()
        with pytest.raises(BindError, match="is another program"):
            bind_tcp("127.0.0.1", port)


def test_tcp_on_ipv6_and_on_nothing_that_exists() -> None:
    if socket.has_ipv6:
        try:
            bind_tcp("::1", 0).close()
        except BindError:
            pytest.skip("no IPv6 here")
    with pytest.raises(BindError, match=r"cannot listen on nowhere\.invalid:1: "):
        bind_tcp("nowhere.invalid", 1)
    with pytest.raises(BindError, match=r"cannot listen on 192\.0\.2\.1:1: "):
        bind_tcp("192.0.2.1", 1)


def test_unix_modes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.sock"
    with bind_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(BindError, match="another daemon answers there"):
            bind_unix(path)
    with bind_unix(path, 0o660, "root"):  # the dead one was in the way
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert os.umask(0o022) == 0o022


def test_unix_never_wider_than_asked_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    chmod = os.chmod

    def looking(path: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(path.stat().st_mode))
        chmod(path, mode)

    monkeypatch.setattr("os.chmod", looking)
    bind_unix(tmp_path / "a.sock", 0o666).close()
    assert seen == [0o600]


def test_unix_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(BindError, match="a file that is not a socket is in the way"):
        bind_unix(file)
    assert file.read_text() == "mine"
    with pytest.raises(BindError, match="cannot listen on"):
        bind_unix(file / "a.sock")
    with pytest.raises(BindError, match="there is no group 'no-such-group'"):
        bind_unix(tmp_path / "b.sock", 0o660, "no-such-group")
    assert not (tmp_path / "b.sock").exists()
    with pytest.raises(BindError, match="cannot listen on"):
        bind_unix(tmp_path / ("x" * 200))
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with datagram:
        datagram.bind(str(tmp_path / "c.sock"))
        with pytest.raises(BindError, match="cannot tell whether"):
            bind_unix(tmp_path / "c.sock")


def test_a_directory_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    if planted.stat().st_uid == 0:
        os.chown(planted, 54321, -1)
    with pytest.raises(BindError, match="belongs to another user"):
        bind_unix(planted / "a.sock")


def test_unlink_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with bind_unix(path):
        noted = inode(path)
        unlink_ours(path, noted + 1)
        assert path.exists()
        unlink_ours(path, noted)
        unlink_ours(path, noted)
        assert not path.exists()


def test_nothing_is_inherited_from_another_process() -> None:
    assert inherited({}) == {}
    assert inherited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}


def test_a_promised_socket_that_is_none() -> None:
    with open(os.devnull) as file, pytest.raises(BindError, match="LISTEN_FDS promises a socket"):
        inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}, first=file.fileno())


def test_names_of_inherited_sockets() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    found = inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}, first=sock.detach())
    assert list(found) == ["unknown"]
    found["unknown"][0].close()
