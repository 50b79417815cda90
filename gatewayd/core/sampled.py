"""A bound on the log lines that strangers cause."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from attrs import define, field


@define
class _Period:
    """What became of one kind of line since its period began."""

    end: float
    lines: int = 0
    left_out: int = 0
    last: tuple[object, ...] = ()


Kind = tuple[logging.Logger, int, str, str]


@define(eq=False)
class Sampled:
    """Writes lines that strangers can cause: of each kind the first few in a period, then the last one and a count.

    A kind is a message before its arguments are put in, and what `kind` adds to that: of a set that the code bounds.
    `later(when, call)` makes a call at a time of `clock`; without it, a count is only said when its kind comes again.
    """

    _clock: Callable[[], float]
    _later: Callable[[float, Callable[[], None]], object] | None = None
    _period: float = field(kw_only=True, default=10.0)
    _periods: dict[Kind, _Period] = field(init=False, factory=dict)

    def log(
        self, log: logging.Logger, level: int, message: str, *args: object, kind: str = "", first: int = 10,
        exc_info: bool = False,
    ) -> None:  # fmt: skip
        """Log the line, or count it where there were `first` of its kind in this period."""
        if not log.isEnabledFor(level):
            return
        key, now = (log, level, message, kind), self._clock()
        period = self._periods.get(key)
        if period is None or now >= period.end:
            if period is not None:
                self._close(key, period)
            period = self._periods[key] = _Period(now + self._period)
        if period.lines < first:
            period.lines += 1
            log.log(level, message, *args, exc_info=exc_info)
            return
        if not period.left_out and self._later is not None:
            self._later(period.end, partial(self._close, key, period))
        period.left_out += 1
        period.last = args

    def _close(self, key: Kind, period: _Period) -> None:
        """The period is over: say what was left out. Safe to call twice."""
        if self._periods.get(key) is not period:
            return
        del self._periods[key]
        if period.left_out:
            log, level, message, _ = key
            log.log(level, message + " (the last of %d such lines that were left out)", *period.last, period.left_out)
