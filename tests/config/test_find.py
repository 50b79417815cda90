"""Where the file and the socket are found, and that gatewayctl pays nothing for asking."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatewayd.config.find import find, runtime_socket, socket_candidates


def test_the_order_of_the_places(tmp_path: Path) -> None:
    system = tmp_path / "etc.toml"
    local = tmp_path / "gatewayd.toml"
    assert find(None, {}, tmp_path, system=system) is None
    system.touch()
    assert find(None, {}, tmp_path, system=system) == system
    local.touch()
    assert find(None, {}, tmp_path, system=system) == local
    environ = {"GATEWAYD_CONFIG": "other.toml"}
    assert find(None, environ, tmp_path, system=system) == tmp_path / "other.toml"
    assert find("/given.toml", environ, tmp_path, system=system) == Path("/given.toml")


def test_an_empty_variable_names_nothing(tmp_path: Path) -> None:
    assert find(None, {"GATEWAYD_CONFIG": ""}, tmp_path, system=tmp_path / "none") is None


def test_the_runtime_directory_of_systemd_comes_first(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path}/one:{tmp_path}/two", "XDG_RUNTIME_DIR": "/user"}
    assert runtime_socket(environ, system=tmp_path) == tmp_path / "one" / "admin.sock"


def test_systemd_may_give_the_system_directory_itself(tmp_path: Path) -> None:
    # As with RuntimeDirectory=gatewayd; it may even be missing where somebody asks from outside.
    system = tmp_path / "gatewayd"
    assert runtime_socket({"RUNTIME_DIRECTORY": str(system)}, system=system) == system / "admin.sock"


def test_the_system_directory_where_it_is_ours(tmp_path: Path) -> None:
    assert runtime_socket({"XDG_RUNTIME_DIR": "/user"}, system=tmp_path) == tmp_path / "admin.sock"


def test_the_users_directory_then_tmp(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    own = Path(f"/tmp/gatewayd-{os.getuid()}/admin.sock")
    assert runtime_socket({"XDG_RUNTIME_DIR": "/user"}, system=missing) == Path("/user/gatewayd/admin.sock")
    assert runtime_socket({}, system=missing) == own


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_system_directory_of_others_is_passed_over(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert runtime_socket({"XDG_RUNTIME_DIR": "/user"}, system=tmp_path) == Path("/user/gatewayd/admin.sock")


def test_gatewayctl_tries_every_place(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": "/given", "XDG_RUNTIME_DIR": "/user"}
    assert socket_candidates(environ, system=tmp_path) == [
        Path("/given/admin.sock"),
        tmp_path / "admin.sock",
        Path("/user/gatewayd/admin.sock"),
        Path(f"/tmp/gatewayd-{os.getuid()}/admin.sock"),
    ]


def test_only_the_standard_library_is_imported() -> None:
    heavy = ("attr", "attrs", "cattrs", "trio", "tomllib")
    code = f"import sys, gatewayd.config.find; print([name for name in {heavy} if name in sys.modules])"
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}  # it imports things
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert shown.strip() == "[]"
