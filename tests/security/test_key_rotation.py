"""Keys and secrets are replaced without one failed request (operations.md 11); identity tokens are fetched and kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import OctKey
from tests.http.world import a_world
from tests.unit.edge.kit import TurnedClock

from arco.clients.compactor import HttpTransport
from arco.clients.credentials import EARLY_MS, FixedHeaders, IdTokens, NoCredentials
from arco.edge.jwks import REST_MS, JwkSet

from .callers import BASE, Front
from .issuers import OTHER_RSA, RSA, SECRET, Issuer, bearer, claims, issuing, jwk, signed

OLD_SECRET = "the-secret-before-the-last-rotation"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


def hurried(front: Front, clock: TurnedClock) -> JwkSet:
    """The front's key set with a clock that a test turns."""
    keys: JwkSet = front.authenticator._keys  # type: ignore[attr-defined]  # a minute is long
    keys._clock = clock
    return keys


async def test_the_issuer_replaces_its_key_while_requests_go_on_and_none_fails(issuer):
    front = Front({**BASE, "ARCO_JWT_JWKS_URL": issuer.jwks_url})
    clock = TurnedClock()
    keys = hurried(front, clock)
    key, kid = RSA, "rsa-1"
    statuses: list[int] = []

    async def requests(count: int) -> None:
        for _ in range(count):
            statuses.append((await front.ask(bearer(signed(claims(jti=len(statuses)), key, kid=kid)))).status_code)

    await requests(10)
    issuer.keys.append(jwk(OTHER_RSA, "rsa-2"))  # published first,
    await requests(10)
    clock.ms += REST_MS
    key, kid = OTHER_RSA, "rsa-2"  # then used,
    await requests(10)
    issuer.keys = [one for one in issuer.keys if one["kid"] != "rsa-1"]  # then the old one goes.
    clock.ms += 400_000
    await requests(10)
    if (fetching := keys._task) is not None:  # The set is fetched beside the requests.
        await fetching
    await requests(10)
    assert statuses == [200] * 50
    assert issuer.fetches == 3
    assert (await front.ask(bearer(signed(claims(jti=0), RSA, kid="rsa-1")))).status_code == 401


async def test_a_shared_secret_is_replaced_with_both_in_use_for_a_while():
    environ = {**BASE, "ARCO_JWT_SECRET": SECRET, "ARCO_JWT_SECRET_PREVIOUS": OLD_SECRET}
    old = OctKey.import_key(OLD_SECRET)
    new = OctKey.import_key(SECRET)
    steps = [
        ({**BASE, "ARCO_JWT_SECRET": OLD_SECRET}, [(old, 200)]),
        (environ, [(old, 200), (new, 200)]),
        ({**BASE, "ARCO_JWT_SECRET": SECRET}, [(old, 401), (new, 200)]),
    ]
    for settings, expected in steps:
        front = Front(settings)
        for key, status in expected:
            assert (await front.ask(bearer(signed(key=key)))).status_code == status


async def test_the_token_between_roles_is_replaced_without_a_failed_call():
    both = {
        "ARCO_INTERNAL_AUTH_MODE": "static_bearer",
        "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN": "new",
        "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN_PREVIOUS": "old",
    }
    async with a_world(both) as world:
        for token in ("old", "new"):
            async with world.client(bearer(token), role="compactor") as client:
                assert (await client.post("/compact")).status_code == 202


# --- identity tokens --------------------------------------------------------------------------------------------------


async def test_an_identity_token_is_fetched_once_and_kept_until_shortly_before_it_expires(issuer):
    clock = TurnedClock(claims()["iat"] * 1000)
    tokens = IdTokens("https://compactor.example", clock, url=issuer.url)
    first = [await tokens.headers() for _ in range(5)]
    assert len({one["authorization"] for one in first}) == 1
    assert issuer.identities == [{"audience": "https://compactor.example", "format": "full"}]
    clock.ms += 3_600_000 - EARLY_MS - 2_000
    await tokens.headers()
    assert len(issuer.identities) == 1
    clock.ms += 3_000
    await tokens.headers()
    assert len(issuer.identities) == 2


async def test_many_calls_at_once_cause_one_fetch(issuer):
    tokens = IdTokens("a", TurnedClock(claims()["iat"] * 1000), url=issuer.url)
    await asyncio.gather(*(tokens.headers() for _ in range(50)))
    assert len(issuer.identities) == 1


async def test_a_token_that_is_still_good_outlives_a_metadata_server_that_fails(issuer):
    clock = TurnedClock(claims()["iat"] * 1000)
    tokens = IdTokens("a", clock, url=issuer.url)
    first = await tokens.headers()
    issuer.status = 503
    clock.ms += 3_600_000 - EARLY_MS + 1_000
    assert await tokens.headers() == first
    assert await tokens.headers() == first
    assert len(issuer.identities) == 2
    clock.ms += EARLY_MS
    with pytest.raises(NoCredentials, match="answered 503"):
        await tokens.headers()


async def test_without_a_metadata_server_there_are_no_credentials_and_the_call_is_not_made():
    tokens = IdTokens("a", TurnedClock(), url="http://127.0.0.1:1")
    with pytest.raises(NoCredentials, match="does not answer"):
        await tokens.headers()
    transport = HttpTransport("http://127.0.0.1:1", tokens)
    with pytest.raises(ConnectionError, match="metadata"):
        await transport.post("/internal/sync-compact", b"{}", {})


async def test_a_refused_identity_token_is_replaced_once(issuer):
    clock = TurnedClock(claims()["iat"] * 1000)
    tokens = IdTokens("a", clock, url=issuer.url)
    await tokens.headers()
    assert tokens.refused() is False
    clock.ms += 60_000
    assert tokens.refused() is True
    await tokens.headers()
    assert len(issuer.identities) == 2


async def test_shared_tokens_have_nothing_to_replace():
    fixed = FixedHeaders("token")
    assert await fixed.headers() == {"authorization": "Bearer token"}
    assert fixed.refused() is False
    assert await FixedHeaders().headers() == {}
