"""[backend]: the application behind the node, reached over HTTP or loaded into the daemon's own process.

Annotations are read at run time (the loader goes by them), so this file does not postpone them.
"""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from gatewayd.config.mistakes import Mistake
from gatewayd.config.values import Kinds, Secret
from gatewayd.core.rate import Rate, Seconds
from gatewayd.core.text import check_url

_HANDLERS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def _more_than_0(instance: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
    if not value > 0:
        raise ValueError(f"must be more than 0, got {value:g}")


def _url(instance: object, attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None:
        check_url(value, "http://127.0.0.1:8000/gateway")


def _handlers(instance: object, attribute: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None and not _HANDLERS.fullmatch(value):
        raise ValueError(f'expected "package.module:app", got {value!r}')


@attrs.frozen(kw_only=True)
class BackendConfig:
    """[backend]: where commands go and who is told of sessions; exactly one of `url` and `handlers`."""

    url: str | None = attrs.field(default=None, validator=_url)
    """Where requests are sent, by POST."""
    handlers: str | None = attrs.field(default=None, validator=_handlers)
    """An `App` inside the daemon, as "package.module:app"."""
    secret: Secret | None = None
    """Signs the requests to `url`; None sends them unsigned."""
    timeout: Seconds = attrs.field(default=Seconds(5.0), validator=_more_than_0)
    """For one command, its wait for a free place included, and for one batch of lifecycle events."""
    max_concurrent: int = attrs.field(default=64, validator=_more_than_0)
    """Commands at the backend at a time."""
    max_answer_bytes: int = attrs.field(default=1048576, validator=_more_than_0)
    """The largest answer."""
    lifecycle: Kinds = attrs.field(default=Kinds.ALL)
    """Which lifecycle events are sent."""
    lifecycle_batch: int = attrs.field(default=100, validator=_more_than_0)
    """Events in one request at most."""
    lifecycle_rate: Rate = attrs.field(default=Rate(1000, 1.0))
    """Events at most, however many sessions end at once."""
    lifecycle_queue: int = attrs.field(default=100_000, validator=_more_than_0)
    """How many events may wait while the backend is away."""
    retry_min: Seconds = attrs.field(default=Seconds(0.5), validator=_more_than_0)
    """The pause after a failure; it doubles with each further one."""
    retry_max: Seconds = attrs.field(default=Seconds(60.0), validator=_more_than_0)
    """The longest pause."""


def crossed(table: Mapping[str, Any], config: BackendConfig | None) -> list[Mistake]:
    """The rules between the keys of [backend]; `config` is None where a key for itself was wrong."""
    mistakes = []
    if "url" in table and "handlers" in table:
        mistakes.append(Mistake(("handlers",), "cannot stand beside url"))
    if "url" not in table and "handlers" not in table:
        mistakes.append(Mistake((), "needs url or handlers"))
    if config is not None and config.retry_max < config.retry_min:
        mistakes.append(Mistake(("retry_max",), f"must not be less than retry_min, {config.retry_min:g} s"))
    return mistakes
