"""What the configuration needs to know of a protocol: its name, its own options, and the defaults of its timings.

Structural on purpose: the loader stands beside the protocols, imports none, and is tested with small fakes.
"""

from collections.abc import Callable
from typing import Any, Protocol

from gatewayd.core.rate import Rate
from gatewayd.core.settings import Judging


class TimingSpec(Protocol):
    """A protocol's timings; seconds."""

    @property
    def interval(self) -> float:
        """Between two heartbeats."""

    @property
    def patience(self) -> Callable[[float], float]:
        """The silence allowed in all, for a given interval."""

    @property
    def identify_timeout(self) -> float | None:
        """None where the claim is made in the handshake."""

    @property
    def resume_window(self) -> float:
        """How long a detached session waits."""

    @property
    def heartbeat(self) -> Judging:
        """Whose silence ends a connection."""

    @property
    def max_message_bytes(self) -> int | None:
        """None where [limits] decides."""

    @property
    def bytes_per_second(self) -> int | None:
        """None where [limits] decides."""

    @property
    def burst_bytes(self) -> int | None:
        """None where [limits] decides."""

    @property
    def rate_limit(self) -> Rate | None:
        """None where messages are not counted."""


class ProtocolSpec(Protocol):
    """One wire protocol, as far as its configuration goes."""

    @property
    def name(self) -> str:
        """As in `protocol = "…"`."""

    @property
    def guests(self) -> bool:
        """Whether some come in without proving anything, whatever the auth."""

    @property
    def options(self) -> type[Any]:
        """The attrs class of [listeners.options], every attribute with a default."""

    @property
    def timing(self) -> TimingSpec:
        """The defaults of the listener's timings."""
