"""Separate processes that know each other by identity tokens: metadata server, api, compactor, keys by URL."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.process.servers import Caller, serving
from tests.security.issuers import ISSUER, Issuer, issuing

pytestmark = pytest.mark.process

HERE = "https://compactor.example"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer in a thread of its own."""
    made: list[Issuer] = []
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with issuing() as one:
            made.append(one)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield made[0]
    loops[0].call_soon_threadsafe(done.set)
    thread.join(10)


def test_an_api_with_identity_tokens_writes_through_a_compactor_that_asks_for_them(tmp_path: Path, issuer: Issuer):
    compactor = {
        "ARCO_ENVIRONMENT": "dev",
        "ARCO_TENANT_ID": "local",
        "ARCO_WORKSPACE_ID": "default",
        "ARCO_STORAGE_BUCKET": f"file://{tmp_path}",
        "ARCO_INTERNAL_AUTH_MODE": "gcp_oidc",
        "ARCO_INTERNAL_AUTH_ENFORCE": "true",
        "ARCO_INTERNAL_AUTH_ISSUER": ISSUER,
        "ARCO_INTERNAL_AUTH_AUDIENCE": HERE,
        "ARCO_INTERNAL_AUTH_ALLOWED_EMAILS": "api@project.iam",
        "ARCO_INTERNAL_AUTH_JWKS_URL": issuer.jwks_url,
        "ARCO_DRAIN_DELAY_SECS": "0",
        "PORT": "0",
    }
    with serving(["--role", "compactor"], compactor) as back:
        api = {
            "ARCO_ENVIRONMENT": "dev",
            "ARCO_API_PUBLIC": "false",
            "ARCO_DEBUG": "true",
            "ARCO_STORAGE_BUCKET": f"file://{tmp_path}",
            "ARCO_COMPACTOR_URL": f"http://127.0.0.1:{back.ports['compactor']}",
            "ARCO_ORCH_COMPACTOR_URL": "http://127.0.0.1:1",
            "ARCO_COMPACTOR_AUTH_MODE": "gcp_id_token",
            "ARCO_COMPACTOR_AUTH_AUDIENCE": HERE,
            "ARCO_COMPACTOR_GCP_METADATA_URL": issuer.url,
            "ARCO_TASK_TOKEN_SECRET": "t" * 32,
            "ARCO_TASK_TOKEN_ISSUER": "tasks",
            "ARCO_TASK_TOKEN_AUDIENCE": "tasks",
            "ARCO_TASK_TOKEN_TTL_SECS": "600",
            "ARCO_DRAIN_DELAY_SECS": "0",
            "PORT": "0",
        }
        with serving(["--role", "api"], api) as front, Caller(front.ports["api"]) as caller:
            assert caller.ask("POST", "/catalogs", {"name": "made"})[0] == 201
            assert stranger(back.ports["compactor"]) == (401, {"error": "missing bearer token"})
            assert front.stop() == 0
        assert issuer.identities == [{"audience": HERE, "format": "full"}]
        assert issuer.fetches == 1
        assert back.stop() == 0


def stranger(port: int) -> tuple[int, object]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"domain": "catalog", "event_paths": []})
    connection.request("POST", "/internal/sync-compact", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    told = answer.status, json.loads(answer.read())
    connection.close()
    return told
