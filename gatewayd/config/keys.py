"""Keys that verify signed tokens, read from a PEM file, a file with a secret, or a JWK set.

Law 1: a key is for one algorithm, by what it is; so no token can choose how it is verified.
Law 2: what is public is never taken for a secret. Every function raises ValueError with a sentence that names the file
and never its content.
"""

import base64
from collections.abc import Mapping
from typing import Any

import attrs
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import get_default_algorithms

from gatewayd.config import credentials

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
SECRET_BYTES = 32
"""The least that RFC 7518 allows for HS256."""
RSA_BITS = 2048

_KINDS = "RSA for RS256, P-256 for ES256, Ed25519 for EdDSA"
_JWK_ALGORITHMS = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
    ("oct", None): "HS256",
}
_TEXT_KEYS = ("ssh-", "ecdsa-", "{", "[")  # OpenSSH and JSON: public keys that stand on one line


@attrs.frozen
class Key:
    """A key and the one algorithm that it is for; `kid` is its name in a JWK set."""

    algorithm: str
    key: Any = attrs.field(repr=False)
    kid: str | None = None


def read_key(text: str, environ: Mapping[str, str]) -> Key:
    """The key in a file: a public key in PEM, or else one line of text, which is the secret of HS256."""
    path, content = credentials.read_text(text, environ)
    if "-----BEGIN" in content:
        return _from_pem(path, content)
    secret = credentials.read_one(text, environ)  # again, since a secret must not be readable by everyone
    if secret.startswith(_TEXT_KEYS) or _is_public(secret):
        raise ValueError(f"{path} holds a public key, but not in PEM (BEGIN PUBLIC KEY)")
    return Key("HS256", _long_enough(path, secret.encode()))


def _from_pem(path: str, content: str) -> Key:
    if "PRIVATE KEY-----" in content:
        raise ValueError(f"{path} holds a private key; only the public one belongs here")
    try:
        key = serialization.load_pem_public_key(content.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no public key in PEM (BEGIN PUBLIC KEY)") from None
    if isinstance(key, RSAPublicKey):
        return Key("RS256", _strong_enough(path, key))
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return Key("ES256", key)
    if isinstance(key, Ed25519PublicKey):
        return Key("EdDSA", key)
    raise ValueError(f"{path} holds a key that is none of: {_KINDS}")


def _is_public(text: str) -> bool:
    """Whether the text is the inside of a PEM file."""
    try:
        serialization.load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):  # binascii.Error is a ValueError
        return False
    return True


def _long_enough(path: str, secret: bytes) -> bytes:
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"{path} holds a secret of {len(secret)} bytes, and HS256 needs {SECRET_BYTES} at least")
    return secret


def _strong_enough(path: str, key: RSAPublicKey) -> RSAPublicKey:
    if key.key_size < RSA_BITS:
        raise ValueError(f"{path} holds an RSA key of {key.key_size} bits, and {RSA_BITS} is the least")
    return key


def read_set(text: str, environ: Mapping[str, str]) -> tuple[Key, ...]:
    """The keys of a JWK set that are for signatures of a kind known here; the others are passed over."""
    path, content = credentials.read_text(text, environ)
    try:
        data = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError(f"{path} is not JSON") from None
    items = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f'{path} is not a JWK set: expected {{"keys": [...]}}')
    keys = [key for place, item in enumerate(items) if (key := _from_jwk(f"{path}: keys[{place}]", item)) is not None]
    if not keys:
        raise ValueError(f"{path} holds no key of a kind known here: {_KINDS}, oct for HS256")
    names = [key.kid for key in keys]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} holds two keys of the same kid")
    if any(key.algorithm == "HS256" for key in keys):
        credentials.read_lines(text, environ)  # again, since a secret must not be readable by everyone
    return tuple(keys)


def _from_jwk(where: str, item: Mapping[str, Any]) -> Key | None:
    """One key of a set; None where it is for something else."""
    algorithm = _jwk_algorithm(item)
    if algorithm is None:
        return None
    kid = item.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError(f"{where} has no kid, by which a token could name it")
    if "d" in item:
        raise ValueError(f"{where} is a private key; only the public one belongs here")
    try:
        key: Any = get_default_algorithms()[algorithm].from_jwk(dict(item))
    except (jwt.InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        raise ValueError(f"{where} is not a valid {algorithm} key") from None
    if isinstance(key, bytes):
        _long_enough(where, key)
    elif isinstance(key, RSAPublicKey):
        _strong_enough(where, key)
    return Key(algorithm, key, kid)


def _jwk_algorithm(item: Mapping[str, Any]) -> str | None:
    kind, curve, operations = item.get("kty"), item.get("crv"), item.get("key_ops", ["verify"])
    algorithm = next((name for (kty, crv), name in _JWK_ALGORITHMS.items() if (kty, crv) == (kind, curve)), None)
    if item.get("alg", algorithm) != algorithm or item.get("use", "sig") != "sig":
        return None
    return algorithm if isinstance(operations, list) and "verify" in operations else None
