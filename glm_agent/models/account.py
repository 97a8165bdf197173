"""Keys and accounts: how a key is sent, and what is limited together."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable

from glm_agent.errors import ConfigurationError

TOKEN_SECONDS = 210.0
"""How long a signed token is valid, and below how long it is used. Source: zai-sdk 0.2.3, core/_jwt_token.py."""
REUSE_SECONDS = 180.0


class SignedKey(str):
    """An API key ``id.secret`` that never goes over the wire: short-lived tokens signed with it do.

    Pass it wherever an API key is taken: ``Agent("glm-5.3", api_key=SignedKey(key))``.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "SignedKey('***')"


class Bearer:
    """What stands in the ``Authorization`` header: the key itself, or a token of the moment.

    Raises ``ConfigurationError`` where a key is to sign and has not the two parts that it takes.
    """

    def __init__(self, key: str, *, clock: Callable[[], float] = time.time) -> None:
        self._id, dot, self._secret = key.strip().partition(".")
        self._key = key.strip()
        self._signs = isinstance(key, SignedKey)
        self._clock = clock
        self._token, self._made_at = "", 0.0
        if self._signs and not (self._id and dot and self._secret):
            raise ConfigurationError(
                "the API key cannot sign: it must have the form 'id.secret'; pass it as plain text"
            )

    def value(self) -> str:
        """The word after ``Bearer``; the same one for three minutes."""
        if not self._signs:
            return self._key
        now = self._clock()
        if not self._token or not 0 <= now - self._made_at < REUSE_SECONDS:
            self._token, self._made_at = self._signed(now), now
        return self._token

    def renew(self) -> bool:
        """After "token expired" (1003): forget the token; False where another one would be no better."""
        if not self._signs or self._clock() - self._made_at < 1:
            return False
        self._token = ""
        return True

    def _signed(self, now: float) -> str:
        import jwt  # 30 ms, and few sign
        from jwt.warnings import InsecureKeyLengthWarning

        # Both times are in milliseconds, against the standard: so the service reads them.
        claims = {
            "api_key": self._id,
            "exp": round((now + TOKEN_SECONDS) * 1000),
            "timestamp": round(now * 1000),
        }
        with warnings.catch_warnings():
            # The service gives out secrets of 16 characters, and nothing here can make them longer.
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.encode(claims, self._secret, algorithm="HS256", headers={"sign_type": "SIGN"})


def account_name(*, key: str, model: str, base_url: str) -> str:
    """A name for what is limited together, which says nothing about the key."""
    return hashlib.sha256("\0".join((key, model, base_url)).encode(errors="surrogatepass")).hexdigest()
