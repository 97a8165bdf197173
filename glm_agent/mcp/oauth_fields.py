"""The key ``oauth`` of a configuration entry. Pure.

Source: Claude Code ``.mcp.json`` (``clientId``, ``callbackPort``, ``scopes``), Cursor (``auth`` with ``CLIENT_ID``),
Gemini and OpenCode as documented in November 2026; the other keys are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from glm_agent.mcp import values
from glm_agent.mcp.authorization import ClientAuthentication, Grant, IdentityProvider, OAuth
from glm_agent.mcp.home import expanded

_TEXTS = {
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "client_id": "client_id",
    "client_secret": "client_secret",
    "CLIENT_ID": "client_id",
    "CLIENT_SECRET": "client_secret",
    "clientMetadataUrl": "client_metadata_url",
    "issuer": "issuer",
    "signingAlgorithm": "signing_algorithm",
    "assertion": "assertion",
}
_CHOICES = {
    "grant": ("grant", get_args(Grant)),
    "clientAuthentication": ("client_authentication", get_args(ClientAuthentication)),
}
_OTHERS = ("scope", "scopes", "callbackPort", "dpop", "privateKeyFile", "identityProvider")
_FOUND_OUT = frozenset({"authorizationUrl", "tokenUrl", "registrationUrl", "issuerUrl", "authServerMetadataUrl"}) | {
    *("redirectUri", "redirect_uri", "tokenParamName", "audiences", "client_name", "resource"),
}
"""Keys of other programs for what is found out here, from the server and from its authorization server."""
_NEEDED = {
    "client_credentials": ("client_id",),
    "jwt_bearer": ("client_id", "assertion"),
    "enterprise": ("client_id", "client_secret", "issuer", "identity_provider"),
}


def read_oauth(value: object, context: values.Context, key: str) -> OAuth | None:
    """What the entry says about authorization; ``true`` leaves it to the server, ``false`` says nothing."""
    if isinstance(value, bool):
        return OAuth() if value else None
    if not isinstance(value, Mapping):
        context.fail(key, says=f"is {values.kind(value)}. Write an object, or true")
    fields = cast("Mapping[str, Any]", value)
    if "enabled" in fields and not values.flag(fields["enabled"], context, key):
        return None
    found: dict[str, Any] = {}
    for name, item in fields.items():
        if name not in _FOUND_OUT and name != "enabled":
            found |= _field(name, item, context, key)
    oauth = OAuth(**found)
    for needed in _NEEDED.get(oauth.grant, ()):
        if not getattr(oauth, needed):
            spelled = next((word for word, field in _TEXTS.items() if field == needed), "identityProvider")
            context.fail(key, spelled, says=f"is missing: the grant {oauth.grant!r} needs it")
    return oauth


def _field(name: str, item: object, context: values.Context, key: str) -> dict[str, Any]:
    if name in _TEXTS:
        return {_TEXTS[name]: values.text(item, context, key, name)}
    if name in _CHOICES:
        field, allowed = _CHOICES[name]
        chosen = values.text(item, context, key, name)
        if chosen not in allowed:
            context.fail(key, name, says=f"is {chosen!r}. Write one of {', '.join(allowed)}")
        return {field: chosen}
    if name not in _OTHERS:
        known = ", ".join([*_TEXTS, *_CHOICES, *_OTHERS])
        context.fail(key, name, says=f"is not known. Known are {known}")
    match name:
        case "scope" | "scopes":
            is_text = isinstance(item, str)
            return {
                "scope": values.text(item, context, key, name)
                if is_text
                else " ".join(values.texts(item, context, key))
            }
        case "callbackPort":
            return {"callback_port": int(values.number(item, context, key))}
        case "dpop":
            return {"is_dpop": values.flag(item, context, key)}
        case "privateKeyFile":
            return {"private_key": _file(item, context, key), "client_authentication": "private_key_jwt"}
        case _:
            return {"identity_provider": _identity(item, context, key)}


def _file(item: object, context: values.Context, key: str) -> str:
    path = context.variables.folder / expanded(values.text(item, context, key, "privateKeyFile"))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        context.fail(key, "privateKeyFile", says=f"cannot be read: {error}")


def _identity(item: object, context: values.Context, key: str) -> IdentityProvider:
    given = values.mapping(item, context, key)
    for needed in ("tokenEndpoint", "clientId", "idToken"):
        if not given.get(needed):
            context.fail(key, "identityProvider", needed, says="is missing")
    return IdentityProvider(
        token_endpoint=given["tokenEndpoint"], client_id=given["clientId"], id_token=given["idToken"]
    )
