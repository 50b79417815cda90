"""Keys from files: what each is taken for, what is refused, and that nothing public becomes a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from gatewayd.config.keys import read_key, read_set
from tests.tokens import PUBLIC, SECRET, jwk, pem, private, private_pem


def write(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def refusal(read: Any, path: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read(path, {})
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value).replace(path, "FILE")


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_public_key_is_for_one_algorithm_and_may_be_read_by_everyone(tmp_path: Path, kind: str) -> None:
    key = read_key(write(tmp_path / "k", pem(kind), 0o644), {})
    assert (key.algorithm, key.kid) == (kind, None)
    assert key.key == private(kind).public_key()


def test_a_line_of_text_is_a_secret_and_may_not(tmp_path: Path) -> None:
    key = read_key(write(tmp_path / "k", SECRET + "\n"), {})
    assert (key.algorithm, key.key) == ("HS256", SECRET.encode())
    assert SECRET not in repr(key)
    assert "readable by everyone" in refusal(read_key, write(tmp_path / "open", SECRET, 0o644))


def inside(kind: str) -> str:
    return "".join(pem(kind).splitlines()[1:-1])


def ssh(kind: str) -> str:
    public = private(kind).public_key()
    return str(public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode())


@pytest.mark.parametrize("kind", PUBLIC)
@pytest.mark.parametrize("written", [inside, ssh, lambda kind: json.dumps(jwk(kind, "a"))], ids=["der", "ssh", "jwk"])
def test_a_public_key_in_other_clothes_is_no_secret(tmp_path: Path, kind: str, written: Any) -> None:
    assert refusal(read_key, write(tmp_path / "k", written(kind))) == (
        "FILE holds a public key, but not in PEM (BEGIN PUBLIC KEY)"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * 31, "FILE holds a secret of 31 bytes, and HS256 needs 32 at least"),
        ("", "FILE holds no secret"),
        (f"{SECRET}\n{SECRET}", "FILE must hold one line, found 2"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "FILE holds no public key in PEM (BEGIN PUBLIC KEY)",
        ),
        ("-----BEGIN CERTIFICATE-----\nAAAA", "FILE holds no public key in PEM (BEGIN PUBLIC KEY)"),
    ],
)
def test_useless_files(tmp_path: Path, text: str, why: str) -> None:
    assert refusal(read_key, write(tmp_path / "k", text)) == why


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_private_key_has_no_business_here(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "k", private_pem(kind))
    assert refusal(read_key, path) == "FILE holds a private key; only the public one belongs here"


@pytest.mark.parametrize("kind", ["P-384", "Ed448"])
def test_keys_of_other_kinds(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "k", pem(kind))
    assert refusal(read_key, path) == (
        "FILE holds a key that is none of: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA"
    )


def test_a_short_rsa_key(tmp_path: Path) -> None:
    path = write(tmp_path / "k", pem("weak"))
    assert refusal(read_key, path) == "FILE holds an RSA key of 1024 bits, and 2048 is the least"


def key_set(path: Path, *keys: Any, mode: int = 0o644) -> str:
    return write(path, json.dumps({"keys": keys}), mode)


def test_a_set_has_its_keys_by_name(tmp_path: Path) -> None:
    path = key_set(tmp_path / "s", *(jwk(kind, kind.lower()) for kind in PUBLIC))
    keys = read_set(path, {})
    assert [(key.kid, key.algorithm) for key in keys] == [(kind.lower(), kind) for kind in PUBLIC]
    assert [key.key for key in keys] == [private(kind).public_key() for kind in PUBLIC]


def test_a_set_with_a_secret_is_one(tmp_path: Path) -> None:
    (key,) = read_set(key_set(tmp_path / "s", jwk("HS256", "a"), mode=0o600), {})
    assert (key.algorithm, key.key) == ("HS256", SECRET.encode())
    assert "readable by everyone" in refusal(read_set, key_set(tmp_path / "open", jwk("HS256", "a")))


@pytest.mark.parametrize(
    "other",
    [
        jwk("RS256", "x", use="enc"),
        jwk("RS256", "x", alg="RS512"),
        jwk("RS256", "x", alg="HS256"),
        jwk("ES256", "x", key_ops=["sign"]),
        jwk("ES256", "x", key_ops="verify"),
        jwk("P-384", "x"),
        jwk("Ed448", "x"),
        {"kty": "PQC", "kid": "x"},
        {"kty": ["RSA"], "crv": {}},
        {},
    ],
)
def test_keys_for_something_else_are_passed_over(tmp_path: Path, other: Any) -> None:
    good = jwk("EdDSA", "good", alg="EdDSA", use="sig", key_ops=["verify"])
    assert [key.kid for key in read_set(key_set(tmp_path / "s", other, good), {})] == ["good"]
    assert refusal(read_set, key_set(tmp_path / "t", other)).startswith("FILE holds no key of a kind known here")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (jwk("RS256", None), "FILE: keys[0] has no kid, by which a token could name it"),
        (jwk("RS256", ""), "FILE: keys[0] has no kid, by which a token could name it"),
        ({**jwk("RS256", "a"), "kid": 5}, "FILE: keys[0] has no kid, by which a token could name it"),
        (jwk("RS256", "a", d="AQAB"), "FILE: keys[0] is a private key; only the public one belongs here"),
        (jwk("RS256", "a", n="!"), "FILE: keys[0] is not a valid RS256 key"),
        (jwk("RS256", "a", n=5), "FILE: keys[0] is not a valid RS256 key"),
        ({"kty": "RSA", "kid": "a"}, "FILE: keys[0] is not a valid RS256 key"),
        (jwk("ES256", "a", x="AAAA"), "FILE: keys[0] is not a valid ES256 key"),
        (jwk("EdDSA", "a", x="AAAA"), "FILE: keys[0] is not a valid EdDSA key"),
        (jwk("HS256", "a", k=None), "FILE: keys[0] is not a valid HS256 key"),
        (jwk("HS256", "a", k="AAAA"), "FILE: keys[0] holds a secret of 3 bytes, and HS256 needs 32 at least"),
        (jwk("weak", "a"), "FILE: keys[0] holds an RSA key of 1024 bits, and 2048 is the least"),
    ],
)
def test_a_bad_key_in_a_set(tmp_path: Path, key: Any, why: str) -> None:
    assert refusal(read_set, key_set(tmp_path / "s", key, mode=0o600)) == why


def test_one_name_for_two_keys(tmp_path: Path) -> None:
    path = key_set(tmp_path / "s", jwk("RS256", "a"), jwk("ES256", "a"))
    assert refusal(read_set, path) == "FILE holds two keys of the same kid"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "FILE is not JSON"),
        (pem("ES256"), "FILE is not JSON"),
        ("[" * 50_000, "FILE is not JSON"),
        ("[]", 'FILE is not a JWK set: expected {"keys": [...]}'),
        ("{}", 'FILE is not a JWK set: expected {"keys": [...]}'),
        ('{"keys": {}}', 'FILE is not a JWK set: expected {"keys": [...]}'),
        ('{"keys": [1]}', 'FILE is not a JWK set: expected {"keys": [...]}'),
        (json.dumps(jwk("ES256", "a")), 'FILE is not a JWK set: expected {"keys": [...]}'),
    ],
)
def test_what_is_no_set(tmp_path: Path, text: str, why: str) -> None:
    assert refusal(read_set, write(tmp_path / "s", text)) == why
