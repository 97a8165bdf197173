"""One server's record of tokens, as the SDK's providers read and write it, with what they forget. Imports the SDK."""

from __future__ import annotations

import logging
import time
from typing import Any, TypeVar

from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import BaseModel, ValidationError

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.token_store import Record, TokenStore

log = logging.getLogger("glm_agent.mcp")

_EARLY_SECONDS = 30.0
"""A token that ends this soon is refreshed before it is used."""

_Model = TypeVar("_Model", bound=BaseModel)


class Tokens:
    """The SDK's ``TokenStorage`` for one server."""

    def __init__(
        self, store: TokenStore, key: str, fixed: OAuthClientInformationFull | None, *, must_keep: bool = False
    ) -> None:
        """``must_keep`` makes it an error when the store cannot keep a token: somebody logs in for that."""
        self._store, self._key, self._fixed, self._must_keep = store, key, fixed, must_keep
        self.record: Record = store.load(key)

    @property
    def access_token(self) -> str:
        return str(self.record.get("token", {}).get("access_token", ""))

    @property
    def is_refreshable(self) -> bool:
        return bool(self.record.get("token", {}).get("refresh_token"))

    @property
    def is_ending(self) -> bool:
        return bool(self.access_token) and 0 < float(self.record.get("expires_at") or 0) < time.time() + _EARLY_SECONDS

    def reload(self) -> None:
        """Another process may have refreshed the token since."""
        self.record = self._store.load(self._key) or self.record

    def keep(self, **parts: Any) -> None:
        self.record = {**self.record, **parts}
        try:
            self._store.save(self._key, self.record)
        except ConfigurationError as error:
            if self._must_keep:
                raise Refused(str(error)) from None
            # The token is good as long as this process lasts: a run on a disk that cannot be written goes on.
            log.warning("%s", error)

    async def get_tokens(self) -> OAuthToken | None:
        return read(OAuthToken, self.record.get("token"))

    async def set_tokens(self, tokens: OAuthToken) -> None:
        expires_at = time.time() + tokens.expires_in if tokens.expires_in is not None else 0
        self.keep(token=tokens.model_dump(mode="json", exclude_none=True), expires_at=expires_at)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._fixed or read(OAuthClientInformationFull, self.record.get("client"))

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.keep(client=client_info.model_dump(mode="json", exclude_none=True))


def read(model: type[_Model], value: Any) -> _Model | None:
    """The value as the model; None where it is not, since a record may be another version's."""
    try:
        return model.model_validate(value) if value else None
    except ValidationError:
        return None
