"""Tokens as a good and as a bad identity provider makes them."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from api.settings import JwtSettings

SECRET = "q7Xv2mLr9TzK4wNc8HbY1sDf6GjP3aQeU5oRi0EpVuWxZtCkMnBlSyFhJdAg7Xv2"
ISSUER, AUDIENCE = "https://id.example", "greenroom"

HS256 = JwtSettings(secret=SecretStr(SECRET), issuer=ISSUER, audience=AUDIENCE)
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = PRIVATE_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
RS256 = JwtSettings(public_key=PUBLIC_PEM.decode(), issuer=ISSUER, audience=AUDIENCE)


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    said = {"sub": "ann", "tenant": "acme", "tier": "pro", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 600} | changed
    return {name: value for name, value in said.items() if value is not None}


def token(*, key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changed: Any) -> str:
    """A signed token, good unless something is changed."""
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)
