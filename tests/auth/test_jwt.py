"""Signed tokens: who is believed, who is refused for what reason, and that no text is more than a refusal."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.auth.attributes import BadAttributes, metadata
from gatewayd.auth.jwt import JwtAuth
from gatewayd.config.auth import JwtConfig
from gatewayd.config.keys import Key, read_key, read_set
from gatewayd.config.limits import AuthLimits
from gatewayd.core.behaviour import Claim, Grant
from gatewayd.core.depth import MAX_DEPTH
from gatewayd.core.events import LONGEST_NAME
from tests.tokens import PUBLIC, SECRET, forged, jwk, part, pem, private, token

HOUR = 3600
NOW = int(time.time())


def auth(*keys: Key, clock: Any = time.time, **more: Any) -> JwtAuth:
    keys = keys or (Key("HS256", SECRET.encode()),)
    files: dict[str, Any] = {"key_file": "k"} if keys[0].kid is None else {"jwks_file": "s"}
    return JwtAuth(JwtConfig(kind="jwt", keys=keys, **files, **more), clock)


async def judged(judge: JwtAuth, text: str | None, kind: str = "secret", subject: str | None = None) -> Grant:
    return await judge.verify(Claim(kind, text, subject))


async def reason(judge: JwtAuth, text: str | None, kind: str = "secret", subject: str | None = None) -> str:
    grant = await judged(judge, text, kind, subject)
    assert not grant
    assert grant == Grant(granted=False, reason=grant.reason), "a refusal gives nothing"
    return grant.reason


async def test_a_token_gives_what_it_says() -> None:
    judge = auth(clock=lambda: NOW)
    text = token(exp=NOW + HOUR, channels=["user:1", "news", "news"], metadata={"plan": "gold"})
    assert await judged(judge, text) == Grant(
        granted=True, channels=("user:1", "news"), metadata={"plan": "gold"}, expires=HOUR
    )
    assert (await judged(judge, token(meta={"a": 1}))).metadata == {"a": 1}
    assert (await judged(judge, token(sub="7"))).subject == "7"


@pytest.mark.parametrize("kind", PUBLIC)
async def test_every_kind_of_key(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "k"
    path.write_text(pem(kind))
    judge = auth(read_key(str(path), {}))
    assert await judged(judge, token(kind))
    assert await reason(judge, token()) == "wrong algorithm"
    first, second, _ = token(kind).split(".")
    assert await reason(judge, f"{first}.{second}.{part(b'x' * 64)}") == "wrong signature"
    assert await reason(judge, f"{first}.{part(b'{}')}.{token(kind).split('.')[2]}") == "wrong signature"


async def test_a_token_of_another_key() -> None:
    judge = auth(Key("RS256", private("RS256").public_key()))
    assert await reason(judge, token("RS256", key=private("other RS256"))) == "wrong signature"
    assert await reason(auth(), token(key="another secret of thirty-two bytes")) == "wrong signature"


async def test_a_public_key_is_no_secret() -> None:
    """The classic: a token signed by HMAC with the text of the public key."""
    judge = auth(Key("RS256", private("RS256").public_key()))
    head = forged({"alg": "HS256"}, {"exp": NOW + HOUR}).rstrip(".")
    for secret in (pem("RS256"), pem("RS256").strip()):
        signed = hmac.digest(secret.encode(), head.encode(), "sha256")
        assert await reason(judge, f"{head}.{part(signed)}") == "wrong algorithm"


@pytest.mark.parametrize("kind", ["none", "None", "NONE", "nOnE", "", None, [], 0])
async def test_unsigned(kind: Any) -> None:
    for header in ({"alg": kind}, {"alg": kind, "typ": "JWT"}, {}):
        for signature in (b"", b"x"):
            assert await reason(auth(), forged(header, {"exp": NOW + HOUR}, signature)) == "unsigned"


@pytest.mark.parametrize("kind", ["HS512", "RS256", "ES256K", "hs256", ["HS256"], {"a": 1}, True, 5])
async def test_other_algorithms(kind: Any) -> None:
    assert await reason(auth(), forged({"alg": kind}, {"exp": NOW + HOUR}, b"x")) == "wrong algorithm"


async def test_time() -> None:
    assert await reason(auth(), token(exp=NOW - HOUR)) == "expired"
    assert await reason(auth(), token(nbf=NOW + HOUR)) == "not yet valid"
    assert await reason(auth(), token(iat=NOW + HOUR)) == "not yet valid"
    assert await judged(auth(), token(nbf=NOW - HOUR, iat=NOW - HOUR))


async def test_clocks_may_be_apart() -> None:
    judge = auth(clock=lambda: NOW, leeway=2.0 * HOUR)
    assert (await judged(judge, token(exp=NOW - HOUR))).expires == HOUR
    assert await judged(judge, token(nbf=NOW + HOUR))
    assert await reason(judge, token(exp=NOW - 3 * HOUR)) == "expired"


async def test_a_token_needs_an_expiry_unless_told_otherwise() -> None:
    assert await reason(auth(), token(exp=None)) == "no exp"
    assert (await judged(auth(require_exp=False), token(exp=None))).expires is None
    assert await reason(auth(require_exp=False), token(exp=NOW - HOUR)) == "expired"


async def test_audience_and_issuer() -> None:
    judge = auth(audience="gatewayd", issuer="https://id")
    assert await judged(judge, token(aud="gatewayd", iss="https://id"))
    assert await judged(judge, token(aud=["x", "gatewayd"], iss="https://id"))
    assert await reason(judge, token(aud="x", iss="https://id")) == "wrong audience"
    assert await reason(judge, token(aud=[5], iss="https://id")) == "wrong audience"
    assert await reason(judge, token(iss="https://id")) == "no aud"
    assert await reason(judge, token(aud="gatewayd", iss="https://idx")) == "wrong issuer"
    assert await reason(judge, token(aud="gatewayd")) == "no iss"
    assert await reason(auth(), token(aud="gatewayd")) == "wrong audience"
    assert await judged(auth(), token(iss="anyone"))


@pytest.mark.parametrize("kind", ["user", "guild"])
async def test_the_subject_is_who_is_claimed(kind: str) -> None:
    assert await judged(auth(), token(sub="7"), kind, "7")
    assert await reason(auth(), token(sub="8"), kind, "7") == "wrong subject"
    assert await reason(auth(), token(), kind, "7") == "wrong subject"
    assert await reason(auth(), token(sub=None), kind, "7") == "wrong subject"
    assert await reason(auth(), forge_signed({"exp": NOW + HOUR, "sub": 7}), kind, "7") in (
        "wrong subject",
        "not a token",
    )
    assert await judged(auth(), token(sub="anyone"), "secret")


async def test_a_secret_that_names_somebody_is_good_for_that_one_only() -> None:
    assert await judged(auth(), token(sub="7"), "secret", "7")
    assert await judged(auth(), token(), "secret", "7")
    assert await reason(auth(), token(sub="8"), "secret", "7") == "wrong subject"


def forge_signed(said: Any) -> str:
    """Rightly signed, with what no library would write."""
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return jwt.api_jws.encode(text, SECRET, "HS256")


async def test_a_set_of_keys_goes_by_kid(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text(json.dumps({"keys": [jwk("RS256", "a"), jwk("ES256", "b")]}))
    judge = auth(*read_set(str(path), {}))
    assert await judged(judge, token("RS256", headers={"kid": "a"}))
    assert await judged(judge, token("ES256", headers={"kid": "b"}))
    assert await reason(judge, token("RS256", headers={"kid": "b"})) == "wrong algorithm"
    assert await reason(judge, token("RS256", headers={"kid": "c"})) == "unknown key"
    assert await reason(judge, token("RS256")) == "unknown key"
    assert await reason(judge, token("RS256", key=private("other RS256"), headers={"kid": "a"})) == "wrong signature"
    assert await reason(judge, forged({"alg": "RS256", "kid": ["a"]}, {}, b"x")) == "not a token"


async def test_one_key_does_not_care_about_kid() -> None:
    assert await judged(auth(), token(headers={"kid": "whatever"}))


async def test_no_token_and_too_much_of_one() -> None:
    assert await reason(auth(), None) == "no token"
    assert await reason(auth(), "") == "no token"
    big = token(metadata={"x": "x" * 9000})
    assert len(big) < AuthLimits().token_characters
    assert await judged(auth(), big)
    assert await reason(auth(), token(metadata={"x": "x" * 13000})) == "too large"
    assert await reason(auth(), "x" * (AuthLimits().token_characters + 1)) == "too large"


GARBAGE = [
    "x",
    ".",
    "..",
    "a.b.c",
    "e30.e30.",
    "s3cret",
    "\ud800",
    "\0",
    "ü.ü.ü",
    " " + token(),
    token() + ".x",
    forged(b"[" * 5000, {}),
    forged(b"\xff", {}),
    forged(b"[]", {}),
    forged(b'{"alg": 1e999}', {}),
    forged({"alg": "HS256", "b64": False, "crit": ["b64"]}, {}, b"x"),
    forged({"alg": "HS256", "crit": ["exp"]}, {}, b"x"),
    forge_signed(b"[" * 5000),
    forge_signed(b"[]"),
    forge_signed(b"null"),
    forge_signed(b"\xff"),
    forge_signed(b'{"exp": 1e999}'),
    forge_signed(b'{"exp": NaN}'),
    forge_signed(b'{"exp": ' + b"9" * 5000 + b"}"),
    forge_signed({"exp": "soon"}),
    forge_signed({"exp": [1]}),
    forge_signed({"exp": None}),
    forge_signed({"exp": NOW + HOUR, "nbf": "x"}),
    forge_signed({"exp": NOW + HOUR, "iat": {}}),
    forge_signed({"exp": NOW + HOUR, "sub": 7}),
    forge_signed({"exp": NOW + HOUR, "jti": 7}),
]


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage(text: str) -> None:
    assert await reason(auth(), text) in ("not a token", "unsigned", "wrong algorithm", "wrong signature", "no exp")


@given(st.text() | st.text("eyJ0.-_A=").map(lambda text: text))
async def test_no_text_is_more_than_a_refusal(text: str) -> None:
    assert not await judged(auth(), text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists).flatmap(
    lambda value: st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "iss", "jti", "channels", "metadata", "meta"]).map(
        lambda name: {"exp": NOW + HOUR, name: value}
    )
))  # fmt: skip
async def test_no_rightly_signed_claim_is_a_fault_of_ours(said: Any) -> None:
    await judged(auth(require_exp=False), forge_signed(said))
    await judged(auth(require_exp=False, audience="a", issuer="b"), forge_signed(said), "user", "7")


@pytest.mark.parametrize("exp", [10**17, 10**400, 1e300, str(NOW + 2 * HOUR)])
async def test_an_expiry_beyond_all_measure(exp: Any) -> None:
    grant = await judged(auth(), forge_signed({"exp": exp}))
    assert grant
    assert grant.expires is not None
    assert grant.expires > HOUR  # whenever in the run this test has its turn


@pytest.mark.parametrize(
    "said",
    [
        {"channels": "user:1"},
        {"channels": {"a": 1}},
        {"channels": [1]},
        {"channels": [""]},
        {"channels": ["a\nb"]},
        {"channels": ["x" * (LONGEST_NAME + 1)]},
        {"channels": [str(number) for number in range(AuthLimits().channels + 1)]},
        {"metadata": []},
        {"meta": "x"},
        {"metadata": [], "meta": {}},
    ],
)
async def test_attributes_that_are_none(said: Any) -> None:
    assert await reason(auth(), token(**said)) == "bad attributes"


async def test_the_most_that_may_be_given() -> None:
    names = [f"{number:03}" for number in range(AuthLimits().channels - 1)] + ["x" * LONGEST_NAME]
    assert (await judged(auth(), token(channels=names))).channels == tuple(names)


async def test_claims_have_a_depth() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    grant = await judged(auth(), token(metadata={"x": deep}))
    assert grant.metadata == {"x": deep}
    assert await reason(auth(), token(metadata={"x": [deep]})) == "nested too deep"
    assert await reason(auth(), token(hobbies=[[deep]])) == "nested too deep"


async def test_metadata_is_what_json_can_say() -> None:
    """It goes to the journal and to the backend: half of a letter in a name must not stop either."""
    assert await reason(auth(), token(metadata={"name": "\ud800"})) == "bad attributes"
    with pytest.raises(BadAttributes, match="larger than 65536 bytes"):
        metadata({"x": "x" * 70_000}, AuthLimits())
