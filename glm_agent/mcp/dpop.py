"""Proofs that a token is ours: RFC 9449. One key a process, one proof a request.

Delete this when mcp binds tokens itself; in 2.3 it does not, and its token model knows the type ``Bearer`` only.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Prover:
    """Signs requests with a key of its own, and remembers the nonces that servers want in proofs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._public = {
            "kty": "EC",
            "crv": "P-256",
            "x": _encoded(numbers.x.to_bytes(32, "big")),
            "y": _encoded(numbers.y.to_bytes(32, "big")),
        }
        self._nonces: dict[str, str] = {}

    def prove(self, request: httpx2.Request, *, token: str = "") -> None:
        """Put a fresh proof on the request; with ``token``, one that is bound to it."""
        url = request.url.copy_with(query=None, fragment=None)
        claims = {"jti": str(uuid.uuid4()), "htm": request.method, "htu": str(url), "iat": int(time.time())}
        if token:
            claims["ath"] = _encoded(hashlib.sha256(token.encode()).digest())
        if nonce := self._nonces.get(_origin(request.url)):
            claims["nonce"] = nonce
        headers = {"typ": "dpop+jwt", "jwk": self._public}
        request.headers["DPoP"] = jwt.encode(claims, self._key, algorithm="ES256", headers=headers)

    def wants_nonce(self, response: httpx2.Response) -> bool:
        """Keep the nonce that a response brings; whether the request is to be sent again with it."""
        nonce = response.headers.get("DPoP-Nonce")
        if not nonce:
            return False
        origin = _origin(response.request.url)
        is_new = self._nonces.get(origin) != nonce
        self._nonces[origin] = nonce
        is_challenge = response.status_code == 400 or (
            response.status_code == 401 and "use_dpop_nonce" in response.headers.get("www-authenticate", "")
        )
        return is_new and is_challenge


def _origin(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.host}:{url.port}"
