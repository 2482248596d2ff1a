"""A-44: internal routes of every role answer to roles of this deployment and nobody else; nothing is done for others.

The routes are those of the roles' own tables, so that a new one is asked too.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.http.world import World, a_world

from arco.edge.endpoint import Endpoint

from .issuers import AUDIENCE, ISSUER, OTHER_RSA, RSA, SECRET, Issuer, bearer, by_hand, claims, issuing, now_s, signed

ROLES = ("compactor", "flow-compactor", "dispatcher", "sweeper")
TOKEN = "token-of-this-deployment-0123456789"
PREVIOUS = "token-before-the-last-rotation-01234"
STATIC = {
    "ARCO_INTERNAL_AUTH_MODE": "static_bearer",
    "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN": TOKEN,
    "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN_PREVIOUS": PREVIOUS,
    "ARCO_JWT_SECRET": SECRET,
    "ARCO_JWT_ISSUER": ISSUER,
    "ARCO_JWT_AUDIENCE": AUDIENCE,
}
HERE = "https://compactor.example"
EMAIL = "api@project.iam"
OPEN = {"/health", "/health/live", "/health/ready", "/health/startup", "/live", "/ready", "/version", "/metrics"}
"""What anybody who reaches a role may ask."""


def oidc(issuer: Issuer, **more: str) -> dict[str, str]:
    return {
        "ARCO_INTERNAL_AUTH_MODE": "gcp_oidc",
        "ARCO_INTERNAL_AUTH_ISSUER": ISSUER,
        "ARCO_INTERNAL_AUTH_AUDIENCE": HERE,
        "ARCO_INTERNAL_AUTH_ALLOWED_EMAILS": EMAIL,
        "ARCO_INTERNAL_AUTH_ALLOWED_SUBS": "1234567890",
        "ARCO_INTERNAL_AUTH_ENFORCE": "true",
        "ARCO_INTERNAL_AUTH_JWKS_URL": issuer.jwks_url,
        **more,
    }


def identity(key: Any = RSA, kid: str | None = "rsa-1", **changes: Any) -> str:
    given = {"aud": HERE, "tenant": None, "workspace": None, "email": EMAIL, "email_verified": True, "sub": "999"}
    body = claims(**{**given, **changes})
    return signed(body, key, kid=kid)


def guarded_routes(world: World, role: str) -> Iterator[tuple[str, str]]:
    mounted: list[tuple[str, Endpoint]] = world.roles[role].app.state.endpoints
    for prefix, endpoint in mounted:
        if not endpoint.public:
            parts = ["x" if part.startswith("{") else part for part in (prefix + endpoint.path).split("/")]
            yield endpoint.method, "/".join(parts)


async def asked(world: World, role: str, headers: dict[str, str]) -> list[httpx.Response]:
    """Every guarded route of a role, asked by one caller; no request may cause any storage operation."""
    async with world.client(headers, role=role) as client:
        before = len(world.store.operations)
        answers = [await client.request(method, path, json={}) for method, path in guarded_routes(world, role)]
        assert len(world.store.operations) == before
    return answers


def told(answers: list[httpx.Response]) -> set[tuple[int, str]]:
    assert all(set(one.json()) == {"error"} for one in answers)
    return {(one.status_code, one.json()["error"]) for one in answers}


async def test_a44_there_are_internal_routes_and_what_is_open_is_known():
    async with a_world(STATIC) as world:
        assert ("POST", "/internal/sync-compact") in set(guarded_routes(world, "compactor"))
        assert ("POST", "/compact") in set(guarded_routes(world, "compactor"))
        for role in ROLES:
            mounted = world.roles[role].app.state.endpoints
            assert {prefix + endpoint.path for prefix, endpoint in mounted if endpoint.public} <= OPEN


STRANGERS = {
    "nobody": ({}, "missing bearer token"),
    "no scheme": ({"authorization": TOKEN}, "missing bearer token"),
    "another scheme": ({"authorization": f"Basic {TOKEN}"}, "missing bearer token"),
    "a user": (bearer(signed()), "invalid token: not the token of this deployment"),
    "an identity": (bearer(identity()), "invalid token: not the token of this deployment"),
    "almost": (bearer(TOKEN[:-1]), "invalid token: not the token of this deployment"),
    "more": (bearer(TOKEN + "x"), "invalid token: not the token of this deployment"),
    "debug headers": ({"x-tenant-id": "local", "x-workspace-id": "default"}, "missing bearer token"),
}


@pytest.mark.parametrize("role", ROLES)
async def test_a44_with_a_shared_token_nobody_without_it_gets_any_work_done(role):
    async with a_world(STATIC) as world:
        for headers, sentence in STRANGERS.values():
            assert told(await asked(world, role, headers)) <= {(401, sentence)}


async def test_a44_both_tokens_are_good_while_one_is_being_replaced():
    async with a_world(STATIC) as world:
        for token in (TOKEN, PREVIOUS):
            async with world.client(bearer(token), role="compactor") as client:
                assert (await client.post("/compact")).status_code == 202


async def test_a44_the_api_of_the_same_process_needs_no_configured_token():
    async with a_world(STATIC) as world, world.client(bearer(signed())) as api:
        assert (await api.post("/catalogs", json={"name": "made"})).status_code == 201


IMPOSTORS = {
    "nobody": (dict, "missing bearer token"),
    "a user": (lambda: bearer(signed(key=RSA, kid="rsa-1")), "invalid token: other audience"),
    "another audience": (lambda: bearer(identity_for("https://elsewhere.example")), "invalid token: other audience"),
    "no audience": (lambda: bearer(identity_for(None)), "invalid token: other audience"),
    "another issuer": (lambda: bearer(identity(iss="https://evil.example")), "invalid token: other issuer"),
    "expired": (lambda: bearer(identity(exp=now_s() - 90)), "invalid token: expired"),
    "never expiring": (lambda: bearer(identity(exp=None)), "invalid token: exp must be seconds since the epoch"),
    "another signature": (lambda: bearer(identity(OTHER_RSA)), "invalid token: bad signature"),
    "no kid": (lambda: bearer(identity(kid=None)), "invalid token: no kid"),
    "an unknown kid": (lambda: bearer(identity(kid="other")), "invalid token: unknown kid"),
    "a shared secret": (lambda: bearer(by_hand(b'{"alg":"HS256"}')), "invalid token: no kid"),
    "unsigned": (lambda: bearer(by_hand(b'{"alg":"none"}')), "invalid token: no algorithm of ours"),
    "another service": (lambda: bearer(identity(email="other@project.iam")), "principal not allowlisted"),
    "an unverified e-mail": (lambda: bearer(unverified()), "principal not allowlisted"),
    "words": (lambda: bearer("words"), "invalid token: not three parts"),
}


def identity_for(audience: str | None) -> str:
    return signed(claims(aud=audience, email=EMAIL, email_verified=True), RSA, kid="rsa-1")


def unverified() -> str:
    return signed(claims(aud=HERE, email=EMAIL, email_verified=False, sub="999"), RSA, kid="rsa-1")


@pytest.mark.parametrize("role", ROLES)
async def test_a44_with_service_tokens_only_those_on_the_list_get_any_work_done(role):
    async with issuing() as issuer, a_world(oidc(issuer)) as world:
        async with world.client(bearer(identity()), role="compactor") as client:
            assert (await client.post("/compact")).status_code == 202
        for make, sentence in IMPOSTORS.values():
            assert told(await asked(world, role, make())) <= {(401, sentence)}


async def test_a44_a_subject_on_the_list_is_as_good_as_an_e_mail():
    async with issuing() as issuer, a_world(oidc(issuer)) as world:
        token = signed(claims(aud=HERE, sub="1234567890"), RSA, kid="rsa-1")
        async with world.client(bearer(token), role="compactor") as client:
            assert (await client.post("/compact")).status_code == 202


async def test_a44_a_secret_for_service_tokens_is_for_hs256_alone():
    async with issuing() as issuer, a_world(oidc(issuer, ARCO_INTERNAL_AUTH_HS256_SECRET=SECRET)) as world:
        async with world.client(bearer(signed(claims(aud=HERE, email=EMAIL))), role="compactor") as client:
            assert (await client.post("/compact")).status_code == 202
        async with world.client(bearer(identity()), role="compactor") as client:
            assert (await client.post("/compact")).status_code == 202
    assert issuer.fetches == 1


async def test_a44_without_keys_to_judge_by_nobody_is_let_in():
    async with issuing() as issuer, a_world(oidc(issuer)) as world:
        issuer.status = 500
        assert told(await asked(world, "compactor", bearer(identity()))) == {
            (401, "jwks refresh failed: answered 500"),
        }


async def test_a44_report_only_lets_everybody_in_and_says_so():
    async with issuing() as issuer, a_world(oidc(issuer, ARCO_INTERNAL_AUTH_ENFORCE="false")) as world:
        async with world.client(bearer(identity(email="other@project.iam")), role="compactor") as client:
            assert (await client.post("/compact")).status_code == 202
        reports = [record for record in world.records if record["event"] == "internal_caller_reported"]
        assert [record["reason"] for record in reports] == ["principal not allowlisted"]


async def test_a44_another_scope_is_not_served_whoever_asks():
    mine = {**STATIC, "ARCO_TENANT_ID": "acme", "ARCO_WORKSPACE_ID": "prod"}
    async with a_world(mine) as world:
        for headers in ({"x-tenant-id": "globex"}, {"x-workspace-id": "other"}):
            for answer in await asked(world, "compactor", bearer(TOKEN, **headers)):
                assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}], ids=str)
async def test_a44_without_credentials_a_web_page_cannot_reach_internal_routes(headers):
    async with a_world() as world:
        for answer in await asked(world, "compactor", headers):
            assert answer.status_code == 403
