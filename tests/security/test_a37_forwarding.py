"""A-37: an address is the peer's, or the rightmost that no trusted proxy has; nobody is who they say further left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.edge.kit import TurnedClock, an_endpoint, served

from arco.edge.addresses import UNKNOWN, ClientAddresses, rate_key
from arco.edge.auth import DebugHeaders
from arco.edge.rates import Rate, RateLimits

PROXIES = ClientAddresses(["10.0.0.0/8", "fd00::/8"])


def of(peer: str, *forwarded: str, addresses: ClientAddresses = PROXIES) -> str:
    return addresses.of(peer, [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded])


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.5", ["1.1.1.1"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.5, 10.9.9.9"], "203.0.113.5"),
        ("10.0.0.1", ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ("10.0.0.1", ["1.1.1.1, not-an-address"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, "], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5:4711"], "203.0.113.5"),
        ("10.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["169.254.0.1\r\n"], "169.254.0.1"),
        ("", ["1.1.1.1"], UNKNOWN),
        ("nonsense", ["1.1.1.1"], UNKNOWN),
    ],
)
def test_a37_the_rightmost_hop_that_is_not_ours_is_the_caller(peer, forwarded, found):
    assert of(peer, *forwarded) == found


def test_a37_without_trusted_proxies_no_header_counts():
    assert of("10.0.0.1", "1.1.1.1", addresses=ClientAddresses()) == "10.0.0.1"


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=20), max_size=50))
def test_a37_whatever_a_caller_writes_stands_left_of_what_the_proxy_adds(written):
    assert of("10.0.0.1", *written, "203.0.113.5") == "203.0.113.5"


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_a37_a_caller_that_is_no_proxy_is_itself(written):
    assert of("203.0.113.5", written) == "203.0.113.5"


def test_a37_an_ipv6_caller_has_one_bucket_for_its_network():
    assert rate_key("2001:db8::7") == rate_key("2001:db8::8:9") != rate_key("2001:db8:0:1::7")
    assert rate_key("203.0.113.5") == "203.0.113.5"


async def test_a37_rotating_headers_does_not_get_more_guesses():
    app = served(
        an_endpoint(),
        authenticator=DebugHeaders(),
        rates=RateLimits(TurnedClock(), Rate(60, 5), guesses=Rate(60, 5)),
        addresses=PROXIES,
    )
    answers = [
        await app.ask(
            "GET",
            "/api/v1/hello/you",
            headers={
                "X-Forwarded-For": f"1.1.1.{number}",
                "Forwarded": f"for=1.1.2.{number}",
                "X-Real-Ip": f"1.1.3.{number}",
            },
        )
        for number in range(8)
    ]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    known = await app.ask("GET", "/api/v1/hello/you", headers={"X-Tenant-Id": "a", "X-Workspace-Id": "b"})
    assert known.status_code == 200, "who is known is not kept out by who guesses"
    told = app.kept.events("auth_denied")
    assert [record["client"] for record in told] == ["127.0.0.1"] * 5


async def test_a37_behind_a_proxy_each_caller_has_guesses_of_its_own():
    trusted = ClientAddresses(["127.0.0.0/8"])
    rates = RateLimits(TurnedClock(), Rate(60, 1), guesses=Rate(60, 1))
    app = served(an_endpoint(), authenticator=DebugHeaders(), rates=rates, addresses=trusted)
    for caller, status in (("1.1.1.1", 401), ("1.1.1.2", 401), ("1.1.1.1", 429), ("9.9.9.9, 1.1.1.2", 429)):
        answer = await app.ask("GET", "/api/v1/hello/you", headers={"X-Forwarded-For": caller})
        assert answer.status_code == status


async def test_a37_the_access_log_names_the_caller():
    app = served(an_endpoint(), addresses=ClientAddresses(["127.0.0.0/8"]), access_log=True)
    await app.ask("GET", "/api/v1/hello/you", headers={"X-Forwarded-For": "9.9.9.9, 203.0.113.5"})
    assert app.kept.events("request_served")[0]["client"] == "203.0.113.5"
