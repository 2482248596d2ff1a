"""Published keys: kept, fetched again in time, never because a caller wishes it more than once a minute."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey
from tests.security.issuers import EC, OTHER_EC, OTHER_RSA, RSA, claims, jwk, part, signed
from tests.unit.edge.kit import TurnedClock

from arco.core.errors import Unavailable
from arco.core.log import SilentLog
from arco.edge.jose import ES256, HS256, RS256, KeysUnavailable, KeysWanted, Refused
from arco.edge.jwks import COLD_REST_MS, REST_MS, STALE_MS, JwkSet, parse_keys
from arco.edge.refusals import Unauthenticated
from arco.edge.tokens import BearerTokens, TokenRules

TTL_MS = 300_000
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


class Source:
    """What is published, how often it was asked for, and whether it answers."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys) or [jwk(RSA, "one")]
        self.asked = 0
        self.trouble: Exception | None = None
        self.clock = TurnedClock()
        self.set = JwkSet(self.fetch, clock=self.clock, log=SilentLog(), ttl_ms=TTL_MS)

    async def fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return json.dumps({"keys": self.keys}).encode()

    async def find(self, kid: str, algorithm: str = RS256) -> Any:
        """As the gate does it: ask, fetch, ask once more."""
        try:
            return self.set.find(kid, algorithm)
        except KeysWanted as wanted:
            await wanted.keys.refresh()
            return self.set.find(kid, algorithm)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_keys_are_fetched_when_first_wanted_and_then_kept():
    source = Source()
    for _ in range(3):
        (key,) = await source.find("one")
        assert key.algorithm == RS256
    assert source.asked == 1


async def test_a_hundred_callers_of_a_cold_set_cause_one_fetch():
    source = Source()
    await asyncio.gather(*(source.find("one") for _ in range(100)))
    assert source.asked == 1


async def test_an_unknown_kid_asks_once_a_minute_whoever_asks():
    source = Source()
    await source.find("one")
    for number in range(20):
        with pytest.raises(Refused):
            await source.find(f"made-up-{number}")
    assert source.asked == 1
    source.clock.ms += REST_MS
    for number in range(20):
        with pytest.raises(Refused):
            await source.find(f"made-up-{number}")
    assert source.asked == 2


async def test_a_key_published_later_is_found_without_a_restart():
    source = Source()
    await source.find("one")
    source.keys.append(jwk(OTHER_RSA, "two"))
    source.clock.ms += REST_MS
    assert len(await source.find("two")) == 1
    assert len(await source.find("one")) == 1


async def test_beyond_its_time_to_live_a_set_is_fetched_in_the_background_and_used_meanwhile():
    source = Source()
    await source.find("one")
    source.clock.ms += TTL_MS
    assert source.set.find("one", RS256)
    await settled()
    assert source.asked == 2


async def test_keys_outlive_an_outage_of_the_issuer_for_an_hour_and_no_longer():
    source = Source()
    await source.find("one")
    source.trouble = OSError("down")
    source.clock.ms += TTL_MS + STALE_MS - 1
    assert source.set.find("one", RS256)
    await settled()
    source.clock.ms += REST_MS
    with pytest.raises(KeysUnavailable, match="down"):
        await source.find("one")
    source.trouble = None
    source.clock.ms += COLD_REST_MS
    assert await source.find("one")


async def test_without_any_key_a_broken_issuer_is_asked_again_after_a_moment_only():
    source = Source()
    source.trouble = OSError("down")
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await source.find("one")
    assert source.asked == 1
    source.clock.ms += COLD_REST_MS
    with pytest.raises(KeysUnavailable):
        await source.find("one")
    assert source.asked == 2


async def test_a_key_that_left_the_set_makes_remembered_tokens_invalid():
    source = Source(jwk(RSA, "one"), jwk(OTHER_RSA, "two"))
    tokens = BearerTokens(source.set, TokenRules(audience="arco"), source.clock)
    now = source.clock.ms // 1000
    headers = {
        kid: {
            b"authorization": f"Bearer {signed(claims(exp=now + 9_000, iat=now), key, kid=kid)}".encode(),
        }
        for kid, key in (("one", RSA), ("two", OTHER_RSA))
    }
    with pytest.raises(KeysWanted):
        tokens.identify(headers["one"])
    await source.set.refresh()
    for of_a_caller in headers.values():
        assert tokens.identify(of_a_caller).principal == "ada"
    del source.keys[0]
    source.clock.ms += TTL_MS
    assert tokens.identify(headers["one"]).principal == "ada"
    await settled()
    with pytest.raises(Unauthenticated):
        tokens.identify(headers["one"])
    assert tokens.identify(headers["two"]).principal == "ada"


async def test_no_keys_at_all_is_our_trouble_and_not_the_callers():
    source = Source()
    source.trouble = OSError("down")
    tokens = BearerTokens(source.set, TokenRules(audience="arco"), source.clock)
    headers = {b"authorization": f"Bearer {signed(claims(), RSA, kid='one')}".encode()}
    with pytest.raises(KeysWanted):
        tokens.identify(headers)
    await source.set.refresh()
    with pytest.raises(Unavailable):
        tokens.identify(headers)


async def test_a_key_is_found_for_its_own_algorithm_only():
    source = Source(jwk(RSA, "r"), jwk(EC, "e"))
    assert await source.find("r", RS256)
    assert await source.find("e", ES256)
    for kid, algorithm in (("r", ES256), ("e", RS256), ("r", HS256)):
        assert not await source.find(kid, algorithm)


SHORT_N = rsa.generate_private_key(65_537, 1_024).public_key().public_numbers().n
SHORT = {"kty": "RSA", "e": "AQAB", "kid": "k", "n": part(SHORT_N.to_bytes(128, "big"))}
UNUSABLE = {
    "another use": jwk(RSA, "k", use="enc"),
    "another algorithm": jwk(RSA, "k", alg="RS512"),
    "an algorithm of the other kind": jwk(EC, "k", alg="RS256"),
    "for signing only": jwk(RSA, "k", key_ops=["sign"]),
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
    "a short key": SHORT,
    "another curve": jwk(ECKey.generate_key("P-384"), "k"),
    "a long kid": jwk(RSA, "k" * 300),
    "no kid": {name: value for name, value in jwk(RSA, "k").items() if name != "kid"},
    "a kid that is no text": jwk(RSA, "k") | {"kid": 7},
    "a kind that is no text": jwk(RSA, "k", kty=["RSA"]),
    "broken numbers": jwk(RSA, "k", n="%%%"),
    "nothing": {},
}


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_is_not_for_us_is_left_out(key):
    assert set(parse_keys(json.dumps({"keys": [key, jwk(EC, "good")]}).encode())) == {"good"}
    with pytest.raises(ValueError, match="no key"):
        parse_keys(json.dumps({"keys": [key]}).encode())


def test_a_kid_that_two_keys_share_names_neither():
    body = json.dumps({"keys": [jwk(RSA, "same"), jwk(OTHER_RSA, "same"), jwk(OTHER_EC, "own")]}).encode()
    assert set(parse_keys(body)) == {"own"}


def test_of_a_private_key_that_somebody_published_only_the_public_half_is_kept():
    (key,) = parse_keys(json.dumps({"keys": [RSA.as_dict(private=True) | {"kid": "k"}]}).encode()).values()
    assert not set(PRIVATE) & set(key.value.as_dict(private=None))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [1]}', b'{"keys": [], "keys": []}', b"\xff", b"<html>"],
)
def test_bytes_that_are_no_key_set_are_refused(body):
    with pytest.raises(ValueError, match=r"not a JWK set|no key"):
        parse_keys(body)


def test_a_set_of_very_many_keys_is_refused():
    with pytest.raises(ValueError, match="more than 100"):
        parse_keys(json.dumps({"keys": [{}] * 101}).encode())
