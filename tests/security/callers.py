"""What tokens of the test's own issuer meet: the api's authentication as it is composed, before one small route."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response
from tests.unit.edge.kit import Served, an_endpoint

from arco.config.settings import Settings, load
from arco.core.log import SilentLog
from arco.edge.auth import Authenticator
from arco.edge.codec import reply
from arco.edge.context import context_of
from arco.roles.api import authenticator
from arco.roles.process import make_process

from .issuers import AUDIENCE, ISSUER, RSA, SECRET, pem

BASE = {"ARCO_STORAGE_BUCKET": "memory://", "ARCO_JWT_ISSUER": ISSUER, "ARCO_JWT_AUDIENCE": AUDIENCE}
BY_SECRET = {**BASE, "ARCO_JWT_SECRET": SECRET}
BY_PUBLIC_KEY = {**BASE, "ARCO_JWT_PUBLIC_KEY_PEM": pem(RSA)}

INVALID = (401, "INVALID_TOKEN", "Invalid bearer token")


async def _who(request: Request) -> Response:
    context = context_of(request)
    return reply([context.scope.tenant, context.scope.workspace, context.principal])


class Front:
    """One route that only somebody known may ask."""

    def __init__(self, environ: Mapping[str, str], *, role: str = "all") -> None:
        settings = load(role, environ)
        assert isinstance(settings, Settings), settings
        self.authenticator: Authenticator = authenticator(settings, make_process("memory://", log=SilentLog()))
        self.served = Served([("/api/v1", an_endpoint("/who", _who))], authenticator=self.authenticator)

    async def ask(self, headers: Mapping[str, str]) -> httpx.Response:
        """Who the caller is taken for."""
        return await self.served.ask("GET", "/api/v1/who", headers=headers)


@lru_cache
def front(kind: str) -> Front:
    """The api's authentication with a shared `secret` or a `public_key`; one for all tests of a process."""
    return Front({"secret": BY_SECRET, "public_key": BY_PUBLIC_KEY}[kind])


def refused(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of a refusal."""
    body: dict[str, Any] = response.json()
    return response.status_code, body["code"], body["message"]
