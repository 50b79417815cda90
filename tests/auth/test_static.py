"""Open and static auth."""

from __future__ import annotations

import pytest

from gatewayd.auth.static import OpenAuth, StaticAuth
from gatewayd.core.behaviour import Claim

AUTH = StaticAuth(secrets=["one", "zwei-ü"], users={"u": "t"}, guilds={"g": "h", "empty": ""})


@pytest.mark.parametrize(
    ("claim", "fine"),
    [
        (Claim("secret", "one"), True),
        (Claim("secret", "zwei-ü"), True),
        (Claim("secret", "On"), False),
        (Claim("secret", None), False),
        (Claim("secret", ""), False),
        (Claim("secret", "\ud800"), False),
        (Claim("user", "t", "u"), True),
        (Claim("user", "one", "u"), False),
        (Claim("user", "t", "nobody"), False),
        (Claim("user", "", "nobody"), False),
        (Claim("user", "t"), False),
        (Claim("guild", "h", "g"), True),
        (Claim("guild", "", "empty"), False),
    ],
)
async def test_static(claim: Claim, fine: bool) -> None:  # noqa: FBT001, RUF100
    assert bool(await AUTH.verify(claim)) is fine


async def test_nobody_is_known_where_nothing_is_configured() -> None:
    assert not await StaticAuth().verify(Claim("secret", ""))
    assert not await StaticAuth().verify(Claim("user", "", ""))


async def test_open() -> None:
    assert await OpenAuth().verify(Claim("secret", None))


def test_a_claim_does_not_show_its_token() -> None:
    assert "hush" not in repr(Claim("secret", "hush", extra={"uhash": "hush"}))
