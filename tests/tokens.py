"""Keys and signed tokens for tests, made once a run; and tokens that no library would make."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of thirty-two characters!"
PUBLIC = ("RS256", "ES256", "EdDSA")


@cache
def private(kind: str) -> Any:
    """A private key by its algorithm; the last ones are of kinds that are refused."""
    match kind:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "other RS256":
            return rsa.generate_private_key(65537, 2048)
        case "weak":
            return rsa.generate_private_key(65537, 1024)
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
    assert kind == "Ed448"
    return ed448.Ed448PrivateKey.generate()


def pem(kind: str) -> str:
    """The public key as PEM."""
    key = private(kind).public_key()
    return str(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )  # fmt: skip


def private_pem(kind: str) -> str:
    """The private key as PEM."""
    key = private(kind)
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def jwk(kind: str, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public key, or the secret (HS256), as a member of a JWK set."""
    named = {} if kid is None else {"kid": kid}
    if kind == "HS256":
        return {"kty": "oct", "k": part(SECRET.encode()), **named, **more}
    how: Any = {"ES256": ECAlgorithm, "P-384": ECAlgorithm, "EdDSA": OKPAlgorithm, "Ed448": OKPAlgorithm}
    made: dict[str, Any] = how.get(kind, RSAAlgorithm).to_jwk(private(kind).public_key(), as_dict=True)
    made.pop("key_ops", None)
    return {**made, **named, **more}


def token(kind: str = "HS256", *, key: Any = None, headers: dict[str, Any] | None = None, **said: Any) -> str:
    """A signed token that expires in an hour, unless told otherwise; `exp=None` leaves that out."""
    claims = {"exp": int(time.time()) + 3600, **said}
    claims = {name: value for name, value in claims.items() if value is not None}
    signer = key if key is not None else SECRET if kind == "HS256" else private(kind)
    return jwt.encode(claims, signer, algorithm=kind, headers=headers)


def part(data: bytes) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: Any, said: Any, signature: bytes = b"") -> str:
    """A token put together by hand."""
    texts = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in (header, said)]
    return ".".join(part(data) for data in (*texts, signature))
