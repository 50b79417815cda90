"""The steps of docs/systemd.md, walked on a booted system: `python -m tests.systemd`. As root; minutes the first time.

Each check is a function; they run in order on one machine, and the first one that fails ends the run.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.systemd.machine import REPOSITORY, Failed, Machine, missing, prepare

UNIT = "/etc/systemd/system/gatewayd.service"
CONFIG = "/etc/gatewayd/gatewayd.toml"
CLIENT = """
import sys, time, trio
from trio_websocket import open_websocket_url

async def main():
    async with open_websocket_url(sys.argv[1]) as ws:
        print(await ws.get_message(), flush=True)
        await trio.sleep(float(sys.argv[2]))

trio.run(main)
"""
CONNECTS = """
import socket, sys, time
refused = opened = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5).close()
        opened += 1
    except OSError:
        refused += 1
    time.sleep(0.005)
print(opened, refused)
"""


def shell_of(section: str) -> str:
    """The first block of shell commands in a section of docs/systemd.md."""
    text = (REPOSITORY / "docs" / "systemd.md").read_text()
    found = re.search(rf"^## {re.escape(section)}$.*?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/systemd.md has no section {section!r} with a block of sh"
    return found[1]


def prop(machine: Machine, name: str, unit: str = "gatewayd") -> str:
    """A property that systemd shows of a unit."""
    return machine.do(f"systemctl show --value -p {name} {unit}").strip()


def same(what: object, expected: object) -> None:
    """They are equal, or it is said how not."""
    if what != expected:
        raise Failed(f"expected {expected!r}, got {what!r}")


def refused(machine: Machine, script: str, code: int, words: str, *, user: str = "root") -> None:
    """The script exits with this code and says these words."""
    said = machine.do(f"set +e; ({script}); echo exit=$?", user=user)
    if f"exit={code}" not in said or words not in said:
        raise Failed(f"expected exit {code} and {words!r} of {script}, got: {said}")


def installs(machine: Machine) -> None:
    """The steps, pasted."""
    machine.do("cp -r /source /root/gatewayd")
    machine.do("cd /root/gatewayd\n" + shell_of("Installing"), seconds=300)
    same(prop(machine, "ActiveState"), "active")
    machine.file("/root/client.py", CLIENT)
    machine.file("/root/connects.py", CONNECTS)


def units_are_sound(machine: Machine) -> None:
    """`verify` has nothing to say, manual pages included; next to nothing is exposed."""
    machine.do(
        "cp /root/gatewayd/systemd/gatewayd@.service /root/gatewayd/systemd/gatewayd.socket /etc/systemd/system/"
    )
    same(machine.do("systemd-analyze verify --man=yes gatewayd.service gatewayd@x.service gatewayd.socket"), "")
    machine.do(f"systemd-analyze security --offline=true --threshold=15 {UNIT}")


def commands_are_on_the_path(machine: Machine) -> None:
    """Of anybody."""
    machine.do("useradd --create-home --groups gatewayd olga; useradd --create-home stranger")
    machine.do("gatewayctl status && gatewayctl sessions", user="olga")


def only_the_group_gets_in(machine: Machine) -> None:
    """The socket belongs to the group; others are told what stands in their way."""
    same(machine.do("stat -c '%a %U %G' /run/gatewayd/admin.sock").strip(), "660 gatewayd gatewayd")
    refused(machine, "gatewayctl status", 3, "ermission denied", user="stranger")
    machine.file("/etc/systemd/system/gatewayd.service.d/ops.conf", "[Service]\nSupplementaryGroups=ops")
    machine.do(f"groupadd ops; usermod -aG ops stranger; sed -i 's/^group = .*/group = \"ops\"/' {CONFIG}")
    machine.do("systemctl daemon-reload && systemctl restart gatewayd")
    same(machine.do("stat -c '%a %U %G' /run/gatewayd/admin.sock").strip(), "660 gatewayd ops")
    machine.do("gatewayctl status", user="stranger")
    machine.do(f"rm -r {UNIT}.d; sed -i 's/^group = .*/group = \"gatewayd\"/' {CONFIG}")
    machine.do("systemctl daemon-reload && systemctl restart gatewayd")


def the_status_is_alive(machine: Machine) -> None:
    """`systemctl status` has the present figures."""
    url = "ws://127.0.0.1:7105/"
    machine.do(f"systemd-run --unit=bot /opt/gatewayd/bin/python /root/client.py {url} 60")
    machine.until("systemctl show --value -p StatusText gatewayd | grep '1 clients, 1 sessions'")
    machine.do("systemctl stop bot")
    machine.until("systemctl show --value -p StatusText gatewayd | grep '0 clients, 0 sessions'")


def state_outlives(machine: Machine) -> None:
    """A stop, a start, a kill: the journal is in the unit's StateDirectory."""
    same(machine.do("stat -c '%a %U' /var/lib/gatewayd").strip(), "700 gatewayd")
    machine.do("gatewayctl doc set guild:7 '{\"kept\": 1}'")
    machine.do("systemctl restart gatewayd")
    same("kept" in machine.do("gatewayctl doc get guild:7"), True)
    machine.do("systemctl kill --signal=KILL gatewayd")
    machine.until("gatewayctl doc get guild:7 | grep kept")
    same(prop(machine, "NRestarts"), "1")


def the_watchdog_bites(machine: Machine) -> None:
    """A loop that does not turn any more is killed, and the daemon is back."""
    machine.file("/etc/systemd/system/gatewayd.service.d/watchdog.conf", "[Service]\nWatchdogSec=2s")
    machine.do("systemctl daemon-reload && systemctl restart gatewayd")
    before = prop(machine, "MainPID")
    time.sleep(5)  # longer than the watchdog's patience: a loop that turns is left alone
    same(prop(machine, "MainPID"), before)
    machine.do(f"kill -STOP {before}")
    machine.until(f"test $(systemctl show --value -p MainPID gatewayd) != {before} && systemctl is-active gatewayd")
    machine.until("gatewayctl status")
    machine.do("journalctl -u gatewayd | grep -i 'watchdog timeout'")
    machine.do(f"rm -r {UNIT}.d; systemctl daemon-reload && systemctl restart gatewayd")


def it_writes_in_every_sandbox(machine: Machine) -> None:
    """The unit's own filter admits io_uring; one that refuses it, or kills for it, keeps no daemon from starting."""

    def way(drop_in: str = "") -> str:
        machine.file("/etc/systemd/system/gatewayd.service.d/filter.conf", f"[Service]\n{drop_in}")
        machine.do("systemctl daemon-reload && systemctl reset-failed gatewayd && systemctl restart gatewayd")
        same(prop(machine, "NRestarts"), "0")
        return " ".join(machine.do("gatewayctl status | grep ^writes").split()[1:])

    same(way("SystemCallFilter=~@aio"), "os.write (io_uring: a sandbox forbids it)")
    same(way("SystemCallFilter=~@aio\nSystemCallErrorNumber=EPERM"), "os.write (io_uring: Operation not permitted)")
    same(way(), "io_uring")
    machine.do(f"rm -r {UNIT}.d; systemctl daemon-reload && systemctl restart gatewayd")


def a_mistake_is_not_tried_again(machine: Machine) -> None:
    """A configuration error stops the unit for good, in words; a missing group or secret too."""
    machine.do(f"cp {CONFIG} /root/sound.toml")
    for line, code, words in (
        ("[gatewai]", "2", 'did you mean "gateway"'),
        ('[admin]\ngroup = "nobodys"', "1", "nobodys"),
    ):
        machine.do(f"systemctl stop gatewayd; systemctl reset-failed gatewayd; cp /root/sound.toml {CONFIG}")
        if line.startswith("[admin]"):
            machine.do(f"sed -i 's/^group = .*/{line.splitlines()[1]}/' {CONFIG}")
        else:
            machine.do(f"echo '{line}' >> {CONFIG}")
        machine.do("! systemctl start gatewayd")
        same(prop(machine, "ExecMainStatus"), code)
        machine.do(f"journalctl -u gatewayd | grep -F '{words}'")
        if code == "2":
            same(prop(machine, "NRestarts"), "0")
    machine.do(f"systemctl stop gatewayd; systemctl reset-failed gatewayd; cp /root/sound.toml {CONFIG}")
    machine.do("systemctl start gatewayd")


def a_restart_refuses_nobody(machine: Machine) -> None:
    """With systemd's socket clients wait while the daemon restarts."""
    machine.do(f'sed -i \'s/^bind = "127.0.0.1:7105"/bind = "systemd:bots"/\' {CONFIG}')
    machine.do("cd /root/gatewayd\n" + shell_of("Sockets of systemd"))
    machine.do("systemd-run --unit=load /usr/bin/python3 /root/connects.py 7105 6")
    for _ in range(3):
        time.sleep(0.5)
        machine.do("systemctl restart gatewayd")
    said = machine.until("journalctl -u load -o cat | grep -E '^[0-9]+ [0-9]+$'")
    opened, turned_away = map(int, said.split())
    if turned_away or opened < 50:
        raise Failed(f"{turned_away} of {opened + turned_away} connects were refused during three restarts")
    machine.do("systemctl disable --now gatewayd.socket; systemctl stop gatewayd")
    machine.do(f"cp /root/sound.toml {CONFIG}; systemctl start gatewayd")


def two_of_them(machine: Machine) -> None:
    """The steps, pasted: each with its file, its state, its socket; on one port, with clients of their own."""
    machine.do("cd /root/gatewayd\n" + shell_of("Several daemons on one machine"))
    for number in range(20):
        machine.do(f"systemd-run --unit=bot{number} /opt/gatewayd/bin/python /root/client.py ws://127.0.0.1:7205/ 60")
    for name in ("bots-1", "bots-2"):
        machine.do(f"gatewayctl --socket /run/gatewayd-{name}/admin.sock status | grep {name}", user="olga")
        same(machine.do(f"ls /var/lib/gatewayd-{name} | wc -l").strip() != "0", True)
        machine.until(f"systemctl show --value -p StatusText gatewayd@{name} | grep -E '[1-9][0-9]* clients'")
    machine.do("systemctl stop 'bot*'; systemctl disable --now gatewayd@bots-1 gatewayd@bots-2")


def it_stops(machine: Machine) -> None:
    """With a client on it: in time, with 0, and nothing left behind."""
    machine.do("systemd-run --unit=bot /opt/gatewayd/bin/python /root/client.py ws://127.0.0.1:7105/ 60")
    machine.until("systemctl show --value -p StatusText gatewayd | grep '1 clients'")
    machine.do("systemctl stop gatewayd", seconds=20)
    same((prop(machine, "Result"), prop(machine, "ExecMainStatus")), ("success", "0"))
    machine.do("test ! -e /run/gatewayd/admin.sock")


CHECKS = (
    installs, units_are_sound, commands_are_on_the_path, only_the_group_gets_in, the_status_is_alive, state_outlives,
    the_watchdog_bites, it_writes_in_every_sandbox, a_mistake_is_not_tried_again, a_restart_refuses_nobody, two_of_them,
    it_stops,
)  # fmt: skip


def main() -> int:
    """Run all checks; 0 when all hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.systemd", description=__doc__)
    default = Path(tempfile.gettempdir()) / "gatewayd-systemd"
    parser.add_argument("--place", type=Path, default=default, help="where the system is kept for the next run")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="of Debian's packages")
    args = parser.parse_args()
    if why := missing():
        print(f"tests.systemd: {why}", file=sys.stderr)
        return 2
    prepare(args.place, args.mirror)
    with Machine(args.place) as machine:
        for check in CHECKS:
            print(f"{check.__name__.replace('_', ' ')}: ", end="", flush=True)
            start = time.monotonic()
            try:
                check(machine)
            except Failed as exc:
                print(f"FAILED\n{exc}")
                print(machine.do("systemctl status gatewayd --no-pager -n 30 || true"))
                return 1
            print(f"ok ({time.monotonic() - start:.1f} s)")
    print(f"{len(CHECKS)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
