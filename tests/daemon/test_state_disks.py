"""The daemon with a journal on bad disks: a start that has to fail, and a disk that fails under the running daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewayd.journal.tables import MIGRATIONS
from tests.backend.conftest import SECRET
from tests.journal.disks import read_only, small_disk
from tests.site import Site, heard, until

BACKEND = '[backend]\nurl = "{url}"\nsecret = "' + SECRET + '"\nretry_min = "20ms"\nretry_max = "50ms"\n'


# --- a start that has to fail ---------------------------------------------------------------------------------


def started_once(site: Site) -> None:
    with site.run() as daemon:
        client, _ = site.bot()
        site.lose(client)
        assert daemon.stop()[0] == 0


def test_a_state_dir_that_cannot_be_written(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.state.mkdir()
    with read_only(site.state):
        assert "state" in site.fails()
    site.state = tmp_path / "missing" / "state"
    assert "neither state_dir nor its parent directory exists" in site.fails()
    site.state = tmp_path / "file"
    site.state.write_text("")
    assert "state_dir is not a directory" in site.fails()


def test_a_journal_that_is_broken_newer_or_not_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    started_once(site)
    file = site.state / "journal.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"\x5a" * (len(whole) - 8192))
    assert "damaged" in site.fails()
    file.write_bytes(b"no database " * 1000)
    assert "not an SQLite database" in site.fails()
    file.write_bytes(whole)
    site.edit("PRAGMA user_version = 99")
    assert "is of version 99" in site.fails()
    site.edit(f"PRAGMA user_version = {len(MIGRATIONS)}")
    with site.run():
        assert site.sessions() == {"a": "detached"}


def test_a_journal_of_a_daemon_that_runs(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.run() as daemon:
        other = Site(tmp_path)
        other.path = tmp_path / "other.toml"
        assert f"in use by another gatewayd (process {daemon.process.pid})" in other.fails()
        assert site.sessions() == {}


def test_a_log_that_is_gone_after_a_kill(tmp_path: Path) -> None:
    """What was acknowledged stood in it alone."""
    site = Site(tmp_path)
    with site.run():
        client, _ = site.bot()
        site.lose(client)
        assert site.publish("user:a", 1)["buffered"] == 1
        site.kill()
    log, aside = site.state / "journal.db-wal", tmp_path / "aside"
    log.rename(aside)
    assert "commits are missing: journal.db-wal was removed or damaged" in site.fails()
    half = aside.read_bytes()
    log.write_bytes(half[: len(half) // 2] + b"\xff" + half[len(half) // 2 + 1 :])
    assert "commits are missing" in site.fails()
    log.write_bytes(half)
    with site.run():
        client, told = site.bot()
        assert told["d"]["resumed"] is True
        assert heard(client, 1) == [1]


def test_a_database_that_is_cut_off_under_the_daemon(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.run() as daemon:
        client, _ = site.bot()
        for number in range(50):
            site.ask("PUT", f"/v1/documents/d{number}", "x" * 2000)
        site.lose(client)
        site.written()
        assert "durable" not in site.publish("user:a", 1)
        file = site.state / "journal.db"
        site.edit("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = file.stat().st_size
        with file.open("r+b") as other:
            other.truncate(whole // 2)
        assert site.publish("user:a", 2)["durable"] is False
        assert "the file is damaged" in site.journal()["degraded"]
        assert daemon.process.poll() is None
        site.kill()
    assert "the file is damaged" in site.fails()
    # Moved away while it runs, it is written anew, with all that there is.
    file.rename(tmp_path / "damaged")
    for left in ("journal.db-wal", "journal.db-shm"):
        (site.state / left).unlink(missing_ok=True)
    with site.run() as daemon:
        client, told = site.bot()
        assert told["d"]["resumed"] is False
        site.lose(client)
        assert "durable" not in site.publish("user:a", 3)
        site.edit("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as other:
            other.truncate(4096)
        assert site.publish("user:a", 4)["durable"] is False
        file.rename(tmp_path / "damaged")
        site.written()
        site.kill()
    with site.run():
        client, told = site.bot()
        assert told["d"]["resumed"] is True
        assert heard(client, 2) == [3, 4]


def test_a_row_that_somebody_has_edited(tmp_path: Path) -> None:
    site = Site(tmp_path, more=BACKEND.format(url="http://127.0.0.1:1"))
    started_once(site)
    (row,) = site.rows("sessions")
    site.edit("UPDATE sessions SET value = ?", json.dumps({**row, "generation": "many"}))
    assert "of sessions makes no sense (Expected `int`, got `str` - at `$.generation`)" in site.fails()
    site.edit("UPDATE sessions SET value = ?", json.dumps(row))
    site.edit("UPDATE lifecycle SET value = '{}'")
    assert "of lifecycle makes no sense" in site.fails()
    site.edit("DELETE FROM lifecycle")
    site.edit("UPDATE meta SET value = 'x' WHERE key = 'lifecycle'")
    assert "the row 'lifecycle' of meta makes no sense" in site.fails()


def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with small_disk(site.state, 64):
        (site.state / "ballast").write_bytes(b"x" * 56 * 1024)
        assert "the disk is full" in site.fails()
        assert "make room" in site.fails()


# --- a disk that fails under the running daemon ---------------------------------------------------------------


def test_the_journal_is_deleted_under_the_running_daemon(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.run():
        client, _ = site.bot()
        site.lose(client)
        site.publish("user:a", 1)
        for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
            (site.state / name).unlink()
        answer = site.publish("user:a", 2)
        assert answer == {"delivered": 0, "buffered": 1, "dropped": 0, "durable": False, "number": 2}
        assert "journal.db was removed" in site.journal()["degraded"]
        answer = site.publish("user:a", 3)
        assert answer["durable"] is False
        site.bot("b")  # it goes on
        until(lambda: site.journal()["degraded"] is None)
        assert "durable" not in site.publish("user:a", 4)
        site.kill()
    with site.run():
        client, told = site.bot()
        assert told["d"] == {"id": "a", "resumed": True}
        assert heard(client, 4) == [1, 2, 3, 4]
        assert site.sessions() == {"a": "resumed", "b": "detached"}


def test_the_disk_fills_and_is_cleared(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with small_disk(site.state, 600):
        with site.run() as daemon:
            client, _ = site.bot()
            site.lose(client)
            site.publish("user:a", 1)
            ballast = site.state / "ballast"
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 4096)
            number = 1
            while "durable" not in site.publish("user:a", [number := number + 1, "x" * 10_000]):
                assert number < 100
            assert "the disk is full" in site.journal()["degraded"]
            assert site.publish("user:a", "meanwhile")["durable"] is False
            ballast.unlink()
            until(lambda: site.journal()["degraded"] is None)
            assert "durable" not in site.publish("user:a", "after")
            site.kill()
            assert daemon.process.stderr is not None
            assert "the journal is written again" in daemon.process.stderr.read()
        with site.run():
            client, _ = site.bot()
            events = heard(client, number + 2)
            assert events[0] == 1
            assert [event[0] for event in events[1:-2]] == list(range(2, number + 1))
            assert events[-2:] == ["meanwhile", "after"]
