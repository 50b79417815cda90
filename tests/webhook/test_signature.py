"""Signatures: what is signed, what is refused, and that nothing a stranger sends is an exception."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.webhook.signature import ID, SIGNATURE, TIMESTAMP, headers, sign, verify

BODY = b'{"kind":"secret"}'
NOW = 1_700_000_000


def test_the_signature_is_what_the_readme_says() -> None:
    expected = hmac.new(b"k\xc3\xa9y", b"1700000000." + BODY, hashlib.sha256).hexdigest()
    assert sign("kéy", NOW, BODY) == f"v1={expected}"
    assert sign("kéy", str(NOW), BODY) == sign("kéy", NOW, BODY)


@pytest.mark.parametrize("away", [-300, -1, 0, 0.9, 300])
def test_a_fresh_signature_is_true(away: float) -> None:
    assert verify("key", str(NOW), sign("key", NOW, BODY), BODY, now=NOW + away)


@pytest.mark.parametrize("away", [-301, 300.1, 86400])
def test_an_old_or_early_one_is_not(away: float) -> None:
    assert not verify("key", str(NOW), sign("key", NOW, BODY), BODY, now=NOW + away)


def test_the_tolerance_can_be_chosen() -> None:
    assert verify("key", NOW, sign("key", NOW, BODY), BODY, now=NOW + 900, tolerance=1000)
    assert not verify("key", NOW, sign("key", NOW, BODY), BODY, now=NOW + 2, tolerance=1)


def test_any_change_breaks_it() -> None:
    good = sign("key", NOW, BODY)
    assert not verify("kez", NOW, good, BODY, now=NOW)
    assert not verify("key", NOW + 1, good, BODY, now=NOW)
    assert not verify("key", NOW, good, BODY + b" ", now=NOW)
    assert not verify("key", NOW, good[:-1], BODY, now=NOW)
    assert not verify("key", NOW, good.removeprefix("v1="), BODY, now=NOW)
    assert not verify("key", NOW, good.replace("v1", "v2"), BODY, now=NOW)
    assert not verify("key", NOW, good.upper(), BODY, now=NOW)


@pytest.mark.parametrize(
    "timestamp", ["", "abc", " 1700000000", "1700000000\n", "-5", "1e9", "17e8", "nan", "١٧", "9" * 5000, "\ud800"]
)
def test_timestamps_that_are_none(timestamp: str) -> None:
    assert not verify("key", timestamp, "v1=00", BODY, now=NOW)


@given(st.text(), st.text(), st.binary())
def test_whatever_a_stranger_sends_is_just_wrong(timestamp: str, signature: str, body: bytes) -> None:
    assert not verify("key", timestamp, signature, body, now=NOW)
    assert not verify("key", NOW, signature, body, now=NOW)


@pytest.mark.parametrize("signature", ["v1=\ud800", "é"])
def test_a_signature_that_is_no_text(signature: str) -> None:
    assert not verify("key", NOW, signature, BODY, now=NOW)


def test_the_headers_of_a_request() -> None:
    made = headers("key", BODY, now=NOW + 0.9)
    assert made[TIMESTAMP] == str(NOW)
    assert verify("key", made[TIMESTAMP], made[SIGNATURE], BODY, now=NOW)
    assert len({headers("key", BODY, now=NOW)[ID] for _ in range(50)}) == 50


def test_without_a_secret_nothing_is_signed() -> None:
    assert set(headers(None, BODY, now=NOW)) == {ID, TIMESTAMP}
