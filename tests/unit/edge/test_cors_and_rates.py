import pytest
from tests.unit.edge.kit import TurnedClock, an_endpoint, served
from tests.unit.edge.test_auth import _hs256

from arco.core.metrics import Registry
from arco.edge.cors import CorsRules
from arco.edge.rates import ENTRIES_MAX, Buckets, Rate, RateLimits, Taken
from arco.edge.refusals import RateLimited

GET = "/api/v1/hello/you"
ORIGIN = "https://console.example.com"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


async def test_no_origin_is_allowed_by_default():
    answer = await served(an_endpoint()).ask("GET", GET, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert (await served(an_endpoint()).ask("OPTIONS", GET, headers=PREFLIGHT)).status_code == 405


async def test_a_configured_origin_is_echoed_and_another_is_not():
    app = served(an_endpoint(), cors=CorsRules((ORIGIN,)))
    answer = await app.ask("GET", GET, headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "etag" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"
    other = await app.ask("GET", GET, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_errors_can_be_read_across_origins_too():
    answer = await served(an_endpoint(), cors=CorsRules(("*",))).ask("GET", "/nowhere", headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, ORIGIN)


async def test_a_preflight_question_needs_no_authentication():
    app = served(an_endpoint(), authenticator=_hs256(), cors=CorsRules((ORIGIN,), 60))
    answer = await app.ask("OPTIONS", GET, headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "idempotency-key" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "60"
    assert "x-request-id" in answer.headers


def test_a_bucket_gives_a_burst_and_then_the_rate():
    clock = TurnedClock()
    limits = Buckets(clock, Rate(60, 3))
    assert [limits.take("a").remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RateLimited, match=r"Limit: 60 requests per minute. Retry after 1 seconds\.") as caught:
        limits.take("a")
    assert caught.value.details["retry_after_s"] == 1
    assert limits.take("b") == Taken(60, 2)
    clock.ms += 1_000
    assert limits.take("a").remaining == 0
    clock.ms += 3_600_001
    assert limits.take("a").remaining == 2


def test_refused_requests_do_not_push_the_next_token_away():
    clock = TurnedClock()
    limits = Buckets(clock, Rate(60, 1))
    limits.take("a")
    for _ in range(10):
        clock.ms += 100
        if clock.ms % 1000:
            with pytest.raises(RateLimited):
                limits.take("a")
    assert limits.take("a").remaining == 0


def test_the_memory_of_tenants_is_bounded():
    limits = Buckets(TurnedClock(), Rate(60, 3))
    for number in range(ENTRIES_MAX + 5):
        limits.take(str(number))
    assert len(limits) == ENTRIES_MAX


def test_who_has_not_come_for_an_hour_is_forgotten():
    clock = TurnedClock()
    limits = Buckets(clock, Rate(60, 3))
    for number in range(10):
        limits.take(str(number))
    clock.ms += 3_600_001
    for _ in range(20):
        limits.take("new")
        clock.ms += 1_000
    assert len(limits) == 1


def test_a_principal_and_a_mint_have_buckets_of_their_own():
    limits = RateLimits(TurnedClock(), Rate(60, 5), principal=Rate(60, 2), minting=Rate(30, 1))
    assert [limits.take("t", "ada").remaining for _ in range(2)] == [1, 0]
    with pytest.raises(RateLimited):
        limits.take("t", "ada")
    assert limits.take("t", "bo").remaining == 1, "a colleague goes on"
    assert limits.take("t").remaining == 1, "of the tenant's five three are taken"
    assert limits.take("t", template="/api/v1/browser/urls") == Taken(30, 0)
    with pytest.raises(RateLimited, match="30 requests per minute"):
        limits.take("t", template="/api/v1/browser/urls")
    assert limits.take("other", template="/api/v1/browser/urls") == Taken(30, 0)


async def test_allowed_requests_tell_the_limit_and_refused_ones_when_to_come_back():
    app = served(an_endpoint(), rates=RateLimits(TurnedClock(), Rate(500, 1)))
    allowed = await app.ask("GET", GET)
    assert (allowed.headers["x-ratelimit-limit"], allowed.headers["x-ratelimit-remaining"]) == ("500", "0")
    refused = await app.ask("GET", GET)
    assert (refused.headers["x-ratelimit-limit"], refused.headers["x-ratelimit-remaining"]) == ("500", "0")
    assert 'rate_limit_hits_total{endpoint="/api/v1/hello/{name}"} 1' in app.registry.render()
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "RATE_LIMITED", "1")


def test_a_metric_has_one_declaration():
    registry = Registry()
    assert registry.counter("a_total", "A") is registry.counter("a_total", "A")
    with pytest.raises(ValueError, match="declared before"):
        registry.gauge("a_total", "A")
