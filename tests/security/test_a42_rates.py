"""A-42: a flood is told to come back and how often it may; memory for it is bounded, and others notice nothing."""

import pytest
from starlette.responses import Response
from tests.http.world import a_world
from tests.unit.edge.kit import TurnedClock, an_endpoint, served

from arco.edge.auth import DebugHeaders
from arco.edge.rates import ENTRIES_MAX, Buckets, Rate, RateLimits

DEBUG = {
    "ARCO_DEBUG": "true",
    "ARCO_RATE_DEFAULT_PER_MIN": "500",
    "ARCO_RATE_BURST": "50",
}

SLOW = {**DEBUG, "ARCO_RATE_DEFAULT_PER_MIN": "1", "ARCO_RATE_BURST": "20"}
"""Nothing is earned back while a test runs, however slow its machine is."""


def scope(tenant: str, user: str = "") -> dict[str, str]:
    return {"X-Tenant-Id": tenant, "X-Workspace-Id": "w", **({"X-User-Id": user} if user else {})}


async def test_a42_beyond_the_burst_is_429_and_another_tenant_goes_on():
    async with a_world(SLOW) as world, world.client() as api:
        answers = [await api.get("/catalogs", headers=scope("noisy")) for _ in range(60)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 38
        assert {answer.status_code for answer in answers[:20]} == {404}
        for answer in refused[:3]:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["x-ratelimit-limit"] == "1"
            assert answer.headers["x-ratelimit-remaining"] == "0"
            assert answer.json()["code"] == "RATE_LIMITED"
        quiet = await api.get("/catalogs", headers=scope("quiet"))
        assert quiet.status_code == 404
        assert (quiet.headers["x-ratelimit-limit"], quiet.headers["x-ratelimit-remaining"]) == ("1", "19")


async def test_a42_one_principal_does_not_use_up_its_tenant():
    async with a_world({**DEBUG, "ARCO_RATE_PRINCIPAL_PER_MIN": "5"}) as world, world.client() as api:
        statuses = [(await api.get("/catalogs", headers=scope("t", "ada"))).status_code for _ in range(20)]
        assert statuses.count(429) >= 14
        assert (await api.get("/catalogs", headers=scope("t", "bo"))).status_code == 404


async def test_a42_minting_has_a_limit_of_its_own():
    limits = RateLimits(TurnedClock(), Rate(500, 50), minting=Rate(100, 25))

    async def nothing(_request):
        return Response()

    mint = an_endpoint("/browser/urls", nothing, "POST")
    app = served(mint, an_endpoint(), authenticator=DebugHeaders(), rates=limits)
    statuses = [(await app.ask("POST", "/api/v1/browser/urls", headers=scope("t"))).status_code for _ in range(120)]
    assert statuses == [200] * 25 + [429] * 95
    assert (await app.ask("GET", "/api/v1/hello/you", headers=scope("t"))).headers["x-ratelimit-remaining"] == "49"


async def test_a42_distinct_keys_are_requests_like_others():
    async with a_world(SLOW) as world, world.client() as api:
        statuses = []
        for number in range(30):
            headers = {**scope("t"), "Idempotency-Key": f"01930a0b-1234-7abc-9def-{number:012d}"}
            answer = await api.post("/catalogs", json={"name": f"c{number}"}, headers=headers)
            statuses.append(answer.status_code)
        assert statuses[:20] == [201] * 20
        assert set(statuses[-5:]) == {429}


@pytest.mark.parametrize("bucket", ["tenants", "principals", "minting", "guesses"])
def test_a42_memory_of_callers_is_bounded(bucket: str):
    limits = RateLimits(TurnedClock(), Rate(60, 3), principal=Rate(60, 3), minting=Rate(60, 3))
    for number in range(ENTRIES_MAX + 500):
        limits.take(f"t{number}", f"u{number}" * 50, template="/browser/urls" if number % 2 else "")
        limits.take(f"m{number}", template="/browser/urls")
        limits.guess(str(number))
    kept: Buckets | None = getattr(limits, bucket)
    assert kept is not None
    assert len(kept) <= ENTRIES_MAX
    assert all(len(key) <= 128 for key in kept)


async def test_a42_a_developer_on_loopback_has_no_limit():
    async with a_world() as world, world.client() as api:
        answers = [await api.get("/catalogs") for _ in range(100)]
        assert {answer.status_code for answer in answers} == {404}
        assert "x-ratelimit-limit" not in answers[0].headers
