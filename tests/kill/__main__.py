"""Kill the daemon in the middle of it all, start it again, and see what is lost.

    python -m tests.kill --runs 20 --durability always --protocol discord

Bots hear events, some leave and return, and at a random moment the daemon is killed. The next one takes up its journal;
everybody who returns must be resumed, and have heard, in order, every event whose publish was answered: all of them
with `always`, all but those of the last interval with `batched`. In the end every session has ended exactly once.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

from tests.kill.clients import Bot, Counting, all_in, wander
from tests.kill.node import Node, Publisher, Told

WINDOW = 12.0
"""Resume window of the sessions, seconds."""


PROTOCOLS = {"utilbot": ("service:bot", Bot), "discord": ("bot:all", Counting)}
"""The channel that everybody hears, and the bots."""


async def _run(seed: int, args: argparse.Namespace, folder: Path) -> list[str]:
    chance = random.Random(seed)
    wrong: list[str] = []
    told = Told()
    node = Node(folder, args.protocol, args.durability, args.interval, WINDOW, told.url, args.io_uring)
    everybody, kind = PROTOCOLS[args.protocol]
    bots = [kind(f"{1000 + number}") for number in range(args.sessions)]
    stayed_away = set(chance.sample(range(args.sessions), args.sessions // 20))
    try:
        await trio.to_thread.run_sync(node.start)
        publisher = Publisher(node, everybody, bots, chance)
        async with trio.open_nursery() as first:
            await all_in(bots, node.port, first)
            async with trio.open_nursery() as busy:
                busy.start_soon(publisher.run)
                busy.start_soon(wander, bots, node.port, first, chance)
                await trio.sleep(chance.uniform(1.0, 4.0))
                killed = time.monotonic()
                node.kill()
                busy.cancel_scope.cancel()
            first.cancel_scope.deadline = trio.current_time() + 10  # what the kernel has is still read
        before = [len(bot.heard) for bot in bots]
        started = time.monotonic()
        await trio.to_thread.run_sync(node.start)
        async with trio.open_nursery() as second:
            back = [bot for number, bot in enumerate(bots) if number not in stayed_away]
            await all_in(back, node.port, second)
            resumed_after = time.monotonic() - started
            with trio.move_on_after(20):
                while (
                    any(publisher.missing(bot) for bot in back) and trio.current_time() < second.cancel_scope.deadline
                ):
                    await trio.sleep(0.1)
                    if (
                        not any(publisher.missing(bot) for bot in back)
                        or time.monotonic() - started > resumed_after + 3
                    ):
                        break
            again = sum(len(bot.heard) - count for bot, count in zip(bots, before, strict=True))
            for bot in back:
                await bot.leave(1000)
        wrong += [f"{bot.name} was not resumed: {bot.resumed}" for bot in back if not all(bot.resumed[1:])]
        wrong += [f"{bot.name} was told that {bot.lost} were lost" for bot in back if bot.lost]
        wrong += [f"{bot.name} heard out of order" for bot in back if not publisher.in_order(bot)]
        wrong += [
            f"{bot.name} was given {bot.repeated} numbers again"
            for bot in bots
            if isinstance(bot, Counting) and bot.repeated
        ]
        lost = {number for bot in back for number in publisher.missing(bot)}
        ages = sorted(killed - publisher.answered[number] for number in lost)
        allowed = args.interval + 0.05 if args.durability == "batched" else -1.0
        wrong += [f"event {number} is lost" for number in lost if killed - publisher.answered[number] > allowed]
        await told.all_ended(WINDOW + 10)
        wrong += told.faults()
        print(
            f"seed {seed}: {len(publisher.answered)} events answered, {sum(before)} heard before the kill, {again} after, "
            f"{publisher.twice(bots)} twice, {len(lost)} lost"
            + (f" (the oldest {ages[-1] * 1000:.0f} ms before the kill)" if ages else "")
            + f"; all resumed {resumed_after:.1f} s after the start; {len(told.sessions)} sessions, "
            f"{len(wrong)} faults",
            flush=True,
        )
    finally:
        node.kill()
        told.close()
    return wrong


def main() -> int:
    """Run, and tell every fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--durability", choices=("batched", "always"), default="always")
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="utilbot")
    parser.add_argument("--interval", type=float, default=0.1, help="journal_interval, seconds")
    parser.add_argument("--io-uring", choices=("auto", "off"), default="auto", help="how many are written to")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    args = parser.parse_args()
    faults = 0
    for seed in range(args.seed, args.seed + args.runs):
        with tempfile.TemporaryDirectory() as folder:
            for fault in trio.run(_run, seed, args, Path(folder)):
                faults += 1
                print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
