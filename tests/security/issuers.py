"""Somebody who issues tokens: keys, tokens of any shape, and a real server on loopback that publishes the keys."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from arco.core.clock import SystemClock

ISSUER = "https://idp.example"
AUDIENCE = "arco"
SECRET = "shared-secret-of-at-least-32-bytes"

RSA = RSAKey.generate_key(2048)
OTHER_RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
OTHER_EC = ECKey.generate_key("P-256")
OCT = OctKey.import_key(SECRET)
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}


def pem(key: Any) -> str:
    """The public half of a key as PEM."""
    text: str = key.as_pem(private=False).decode()
    return text


def now_s() -> int:
    """The machine's time in seconds."""
    return SystemClock().now_ms() // 1000


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says; a change to None leaves the claim out."""
    now = now_s()
    given = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "tenant": "acme",
        "workspace": "prod",
        "iat": now,
        "exp": now + 600,
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def signed(body: Any = None, key: Any = OCT, *, kid: str | None = None, **header: Any) -> str:
    """A token with this body (claims, or raw bytes), signed by `key` with its algorithm unless the header says."""
    payload = body if isinstance(body, bytes) else json.dumps(claims() if body is None else body).encode()
    given = {"alg": _ALGORITHMS[key.key_type], **({"kid": kid} if kid else {}), **header}
    algorithms = [given["alg"]]
    return jws.serialize_compact(given, payload, key, algorithms=algorithms)


def part(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: bytes, payload: bytes | None = None, key: bytes = SECRET.encode()) -> str:
    """A token of exactly these bytes with an HMAC of them: what no library would make."""
    payload = json.dumps(claims()).encode() if payload is None else payload
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256'))}"


def bearer(token: str, **more: str) -> dict[str, str]:
    """The headers of a caller with this token."""
    return {"authorization": f"Bearer {token}", **more}


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """The public half of a key as a set publishes it."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": _ALGORITHMS[key.key_type], **more}


class Issuer:
    """Publishes a key set and hands out identity tokens like a platform's metadata server."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk(RSA, "rsa-1"), jwk(EC, "ec-1")]
        self.fetches = 0
        self.status = 200
        self.identity_key: Any = RSA
        self.identity_kid = "rsa-1"
        self.identity: dict[str, Any] = {"email": "api@project.iam", "email_verified": True, "sub": "1234567890"}
        self.identities: list[Mapping[str, str]] = []
        self.lifetime_s = 3600
        self.url = ""

    @property
    def jwks_url(self) -> str:
        return self.url + "/keys"

    async def published(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response({"keys": self.keys}, status=self.status)

    async def minted(self, request: web.Request) -> web.Response:
        self.identities.append(dict(request.query))
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        now = now_s()
        body = {"iss": ISSUER, "aud": request.query["audience"], "iat": now, "exp": now + self.lifetime_s}
        token = signed({**body, **self.identity}, self.identity_key, kid=self.identity_kid)
        return web.Response(text=token, status=self.status, headers={"Metadata-Flavor": "Google"})


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer that listens on a free port of loopback."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/keys", issuer.published)
    app.router.add_get("/computeMetadata/v1/instance/service-accounts/default/identity", issuer.minted)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()
