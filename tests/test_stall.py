"""A daemon that was stopped and goes on: nobody loses a connection or a session through a pause of ours."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.site import Site, until

SHORT = 'heartbeat_interval = "1s"\nheartbeat_tolerance = "500ms"\nresume_window = "2s"\n'
STOPPED = 4.0


@contextmanager
def living(client: ClientConnection, said: Any, answers: Callable[[Any], bool] | None = None) -> Iterator[None]:
    """Have a thread say a heartbeat to each payload that asks for one, or twice in an interval."""
    over = threading.Event()

    def live() -> None:
        while not over.is_set():
            try:
                if answers is None:
                    client.send(json.dumps(said))
                    over.wait(0.5)
                elif answers(json.loads(client.recv(0.2))):
                    client.send(json.dumps(said))
            except TimeoutError:
                pass
            except ConnectionClosed:
                return

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_stopped_daemon_closes_nobody(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for name, protocol in (("bots", "utilbot"), ("rooms", "rooms"), ("pages", "dmod")):
        site.listen(name, protocol, extra=SHORT + ('heartbeat = "strict"\n' if protocol == "dmod" else ""))
    with site.run() as daemon:
        bot, _ = site.bot("a")
        away, _ = site.bot("b")
        site.ask("POST", "/v1/rooms", {"id": "r"})
        room = site.connect("rooms", "gateway?roomId=r&token=s3cret&participantId=in")
        page = site.connect("pages")
        page.recv(5)
        page.send(json.dumps({"op": 1, "d": {"token": "seven", "uid": "7"}}))
        page.recv(5)
        with (
            living(bot, {"op": 10}),
            living(room, {"e": 1, "d": {}}, lambda payload: payload["e"] == 1),
            living(page, {"op": 4}, lambda payload: payload["op"] == 3),
        ):
            time.sleep(1.2)  # every deadline is under way
            site.lose(away)
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED)
            daemon.process.send_signal(signal.SIGCONT)
            assert site.sessions() == {"a": "ready", "b": "detached", "r/in": "ready", "7": "ready"}
            status = site.ask("GET", "/v1/status")
            time.sleep(2.5)  # longer than the patience: what was moved is still judged
            assert site.sessions() == {"a": "ready", "r/in": "ready", "7": "ready"}
        until(lambda: site.ask("GET", "/v1/status")["closed"].get("heartbeat_missed") == 3)
        _, log = daemon.stop()
    assert status["closed"].get("heartbeat_missed", 0) == 0
    assert status["loop"]["stalls"] == 1
    assert STOPPED - 0.6 < status["loop"]["last"]["seconds"] < STOPPED + 2
    assert log.count("the event loop stalled for") == 1
    assert "all deadlines are moved by that" in log
