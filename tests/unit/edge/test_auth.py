import base64
import hmac
import json

import pytest
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey
from tests.unit.edge.kit import TurnedClock, an_endpoint, served

from arco.core.scope import Scope
from arco.core.secret_set import SecretSet
from arco.edge.audit import actor_of
from arco.edge.auth import DebugHeaders, DevelopmentScope
from arco.edge.codec import reply
from arco.edge.context import context_of
from arco.edge.jose import HS256, RS256, public_keys, secret_keys
from arco.edge.service_callers import InternalCaller, anybody_here, bearer_of
from arco.edge.tokens import CACHE_TOKENS_MAX, BearerTokens, TokenRules

SECRET = "s" * 32
RSA = RSAKey.generate_key(2048)
PUBLIC_PEM = RSA.as_pem(private=False).decode()
NOW = TurnedClock().ms // 1000
RULES = TokenRules(issuer="https://issuer", audience="arco")
CLAIMS = {
    "tenant": "Acme",
    "workspace": "main",
    "sub": "user-123",
    "iss": "https://issuer",
    "aud": "arco",
    "exp": NOW + 600,
}
PATH = "/api/v1/who"


async def _who(request):
    context = context_of(request)
    told = [context.scope.tenant, context.scope.workspace, context.principal, list(context.groups), context.actor]
    return reply(told)


def _served(authenticator, **rest):
    return served(an_endpoint("/who", _who), authenticator=authenticator, **rest)


def _token(claims=None, secret=SECRET, header=None):
    payload = json.dumps(CLAIMS if claims is None else claims)
    return jws.serialize_compact({"alg": HS256} | (header or {}), payload, OctKey.import_key(secret))


def _raw_token(header: object, payload: bytes, key: bytes = SECRET.encode()) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), 'sha256'))}"


def _hs256(clock=None, rules=RULES):
    return BearerTokens(secret_keys(SECRET), rules, clock or TurnedClock())


async def _status(token, authenticator=None):
    answer = await _served(authenticator or _hs256()).ask("GET", PATH, headers={"authorization": f"Bearer {token}"})
    return answer.status_code, answer.json()


async def test_a_good_hs256_token_is_its_claims():
    assert await _status(_token()) == (200, ["acme", "main", "user-123", [], "api:acme"])


async def test_a_good_rs256_token_is_its_claims():
    token = jws.serialize_compact({"alg": RS256}, json.dumps(CLAIMS), RSA)
    authenticator = BearerTokens(public_keys(PUBLIC_PEM), RULES, TurnedClock())
    assert await _status(token, authenticator) == (200, ["acme", "main", "user-123", [], "api:acme"])


@pytest.mark.parametrize("header", [None, "bearer x", "Basic eA==", "Bearer", "Bearer  ", "Token x"])
async def test_without_a_bearer_token_authentication_is_missing(header):
    app = _served(_hs256())
    answer = await app.ask("GET", PATH, headers={"authorization": header} if header else {})
    assert (answer.status_code, answer.json()["code"]) == (401, "MISSING_AUTH")
    assert answer.json()["message"] == "Authorization header required"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["www-authenticate"] == "Bearer"
    (event,) = app.kept.events("auth_denied")
    assert (event["action"], event["decisionReason"], event["actor"]) == ("AUTH_DENY", "missing_token", "anonymous")
    assert (event["resource"], event["target"], event["level"]) == (PATH, "audit", "warning")


BAD_CLAIMS = {
    "no exp": {"exp": None},
    "expired beyond the leeway": {"exp": NOW - 61},
    "exp in milliseconds": {"exp": NOW * 1000},
    "exp without end": {"exp": 10**20},
    "exp as text": {"exp": str(NOW + 600)},
    "exp as boolean": {"exp": True},
    "not yet": {"nbf": NOW + 61},
    "nbf as text": {"nbf": "soon"},
    "issued in the future": {"iat": NOW + 61},
    "no issuer": {"iss": None},
    "other issuer": {"iss": "https://evil"},
    "no audience": {"aud": None},
    "other audience": {"aud": "other"},
    "other audiences": {"aud": ["a", "b"]},
    "no tenant": {"tenant": None},
    "empty tenant": {"tenant": ""},
    "tenant list": {"tenant": ["acme"]},
    "no workspace": {"workspace": None},
    "no sub": {"sub": None},
    "empty sub": {"sub": ""},
    "groups number": {"groups": 7},
    "groups of numbers": {"groups": ["a", 7]},
}


@pytest.mark.parametrize("change", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_a_token_with_a_bad_claim_is_invalid(change):
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}
    status, told = await _status(_token(claims))
    assert (status, told["code"], told["message"]) == (401, "INVALID_TOKEN", "Invalid bearer token")


@pytest.mark.parametrize(
    "change",
    [{"exp": NOW - 59}, {"nbf": NOW + 59}, {"iat": NOW + 59}, {"aud": ["other", "arco"]}, {"exp": NOW + 0.5}],
    ids=str,
)
async def test_a_minute_of_leeway_and_a_list_of_audiences_are_fine(change):
    assert (await _status(_token(CLAIMS | change)))[0] == 200


async def test_an_audience_that_nobody_configured_is_refused():
    rules = TokenRules()
    claims = {name: value for name, value in CLAIMS.items() if name != "aud"}
    assert (await _status(_token(claims), _hs256(rules=rules)))[0] == 200
    assert (await _status(_token(CLAIMS), _hs256(rules=rules)))[0] == 401


async def test_claim_names_are_configurable():
    rules = TokenRules(tenant_claim="org", workspace_claim="team", user_claim="email", groups_claim="roles")
    claims = {"org": "o", "team": "t", "email": "a@b", "roles": " x, y ,x,,", "exp": NOW + 1}
    assert (await _status(_token(claims), _hs256(rules=rules)))[1] == ["o", "t", "a@b", ["x", "y"], "api:o"]


@pytest.mark.parametrize(("groups", "found"), [("a,b", ["a", "b"]), (["b", " a ", "b", ""], ["b", "a"]), ([], [])])
async def test_groups_are_a_comma_list_or_a_list(groups, found):
    assert (await _status(_token(CLAIMS | {"groups": groups})))[1][3] == found


FORGED = {
    "alg none": _raw_token({"alg": "none"}, json.dumps(CLAIMS).encode()),
    "alg nOnE": _raw_token({"alg": "nOnE"}, json.dumps(CLAIMS).encode()),
    "no signature": _token().rpartition(".")[0] + ".",
    "other secret": _token(secret="t" * 32),
    "other algorithm": _raw_token({"alg": "HS512"}, json.dumps(CLAIMS).encode()),
    "critical extension": _raw_token({"alg": HS256, "crit": ["x"], "x": 1}, json.dumps(CLAIMS).encode()),
    "unencoded payload": _raw_token({"alg": HS256, "b64": False, "crit": ["b64"]}, json.dumps(CLAIMS).encode()),
    "header list": _raw_token([], json.dumps(CLAIMS).encode()),
    "claims list": _raw_token({"alg": HS256}, b"[]"),
    "claims not JSON": _raw_token({"alg": HS256}, b"{"),
    "no claims": _raw_token({"alg": HS256}, b""),
    "tenant twice": _raw_token({"alg": HS256}, json.dumps(CLAIMS).encode()[:-1] + b',"tenant":"evil"}'),
    "deep claims": _raw_token({"alg": HS256}, b'{"a":' * 50 + b"1" + b"}" * 50),
    "words": "not.a.token",
    "dots": "....",
    "long": "a" * 20_000,
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
async def test_a_forged_token_is_invalid_and_never_our_error(token):
    app = _served(_hs256())
    answer = await app.ask("GET", PATH, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    (event,) = app.kept.events("auth_denied")
    assert event["decisionReason"] == "invalid_token"
    assert token not in "".join(app.kept.lines)


@pytest.mark.parametrize("pem", [PUBLIC_PEM, PUBLIC_PEM.strip(), PUBLIC_PEM + "\n"])
async def test_a_public_key_is_not_a_secret(pem):
    forged = _raw_token({"alg": HS256}, json.dumps(CLAIMS).encode(), pem.encode())
    assert (await _status(forged, BearerTokens(public_keys(PUBLIC_PEM), RULES, TurnedClock())))[0] == 401


@pytest.mark.parametrize("extra", [{"kid": "../../etc/passwd"}, {"kid": "k" * 5000}, {"jku": "http://evil/keys"}])
async def test_headers_that_point_elsewhere_are_not_followed(extra):
    assert (await _status(_raw_token({"alg": HS256} | extra, json.dumps(CLAIMS).encode())))[0] in (200, 401)


async def test_a_scope_id_that_no_path_may_hold_is_400():
    app = _served(_hs256())
    for claim, field in (("tenant", "tenant_id"), ("workspace", "workspace_id")):
        for value in ("a/b", "a\\b", "a\nb", "a b", "ä", "a.b"):
            token = _token(CLAIMS | {claim: value})
            answer = await app.ask("GET", PATH, headers={"authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
            assert answer.json()["message"].startswith(field)
    assert {event["decisionReason"] for event in app.kept.events("auth_denied")} == {"invalid_token"}


async def test_a_verified_token_is_remembered_until_it_expires():
    clock = TurnedClock()
    authenticator = _hs256(clock)
    headers = {b"authorization": f"Bearer {_token()}".encode()}
    first = authenticator.identify(headers)
    assert authenticator.identify(headers) is first
    clock.ms += 659_000
    assert authenticator.identify(headers) is first
    clock.ms += 2_000
    with pytest.raises(Exception, match="Invalid bearer token"):
        authenticator.identify(headers)


def test_the_memory_of_tokens_is_bounded():
    authenticator = _hs256()
    for number in range(CACHE_TOKENS_MAX + 10):
        authenticator._remember(number.to_bytes(32, "big"), None, 0)
    assert len(authenticator._known) == CACHE_TOKENS_MAX


async def test_headers_do_not_change_the_scope_of_a_token():
    headers = {"authorization": f"Bearer {_token()}", "x-tenant-id": "evil", "x-user-id": "evil"}
    assert (await _served(_hs256()).ask("GET", PATH, headers=headers)).json()[:3] == ["acme", "main", "user-123"]


async def test_everybody_who_is_let_in_is_audited_under_a_hash():
    app = _served(_hs256())
    answer = await app.ask("GET", PATH, headers={"authorization": f"Bearer {_token()}"})
    (event,) = app.kept.events("auth_allowed")
    assert event["actor"] == "user:fcdec6df4d44dbc637c7c5b58efface5"
    assert (event["tenantId"], event["workspaceId"], event["eventVersion"]) == ("acme", "main", 1)
    assert (event["action"], event["decisionReason"], event["policyVersion"]) == ("AUTH_ALLOW", "jwt_valid", "v1")
    assert event["requestId"] == answer.headers["x-request-id"]
    assert event["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert event["level"] == "info"


def test_the_actor_of_nobody_is_anonymous_and_a_key_changes_the_hash():
    assert actor_of("") == "anonymous"
    assert actor_of("user-123") == "user:fcdec6df4d44dbc637c7c5b58efface5"
    assert actor_of("user-123", b"k" * 32) != actor_of("user-123")
    assert len(actor_of("user-123", b"k" * 32)) == len("user:") + 32


async def test_debug_mode_needs_tenant_and_workspace():
    app = _served(DebugHeaders())
    none = await app.ask("GET", PATH)
    assert (none.status_code, none.json()["code"]) == (401, "UNAUTHORIZED")
    assert none.json()["message"] == "missing X-Tenant-Id header (debug mode)"
    half = await app.ask("GET", PATH, headers={"x-tenant-id": "a"})
    assert half.json()["message"] == "missing X-Workspace-Id header (debug mode)"
    headers = {"x-tenant-id": "Acme", "x-workspace-id": "W1", "x-user-id": "u", "x-groups": "b, a,,b"}
    assert (await app.ask("GET", PATH, headers=headers)).json() == ["acme", "w1", "u", ["b", "a"], "api:acme"]
    bad = await app.ask("GET", PATH, headers=headers | {"x-tenant-id": "a/b"})
    assert (bad.status_code, bad.json()["message"][:9]) == (400, "tenant_id")


async def test_debug_mode_audits_an_absent_user_as_anonymous():
    app = _served(DebugHeaders())
    await app.ask("GET", PATH, headers={"x-tenant-id": "a", "x-workspace-id": "w"})
    assert app.kept.events("auth_allowed")[0]["actor"] == "anonymous"


async def test_development_has_a_scope_unless_headers_say_otherwise():
    app = _served(DevelopmentScope())
    assert (await app.ask("GET", PATH)).json() == ["local", "default", "", [], "api:local"]
    other = await app.ask("GET", PATH, headers={"x-workspace-id": "two"})
    assert other.json()[:2] == ["local", "two"]
    assert (await _served(DevelopmentScope(Scope("t", "w"))).ask("GET", PATH)).json()[:2] == ["t", "w"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "testserver", "api.localhost:1", "10.0.0.7"]
)
async def test_development_answers_to_local_names(host):
    assert (await _served(DevelopmentScope()).ask("GET", PATH, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example"])
async def test_development_does_not_answer_to_a_name_that_a_web_page_may_have_made(host):
    answer = await _served(DevelopmentScope()).ask("GET", PATH, headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


async def test_public_endpoints_ask_nobody():
    app = served(an_endpoint("/open", public=True), authenticator=_hs256(), prefix="")
    assert (await app.ask("GET", "/open")).status_code != 401
    assert not app.kept.lines or not app.kept.events("auth_denied")


def test_an_internal_caller_has_the_token_and_the_scope():
    only = Scope("acme", "main")
    caller = InternalCaller(bearer_of(SecretSet("token-of-the-deployment")), only=only)
    good = {b"authorization": b"Bearer token-of-the-deployment"}
    assert caller.identify(good).scope == only
    for headers in ({}, {b"authorization": b"Bearer wrong"}, {b"authorization": b"Bearer token-of-the-deploymen\xff"}):
        with pytest.raises(Exception, match=r"invalid token|missing bearer token"):
            caller.identify(headers)
    with pytest.raises(Exception, match="another tenant"):
        caller.identify(good | {b"x-tenant-id": b"other"})
    assert InternalCaller(anybody_here).identify({b"x-tenant-id": b"a", b"x-workspace-id": b"b"}).scope == Scope(
        "a", "b"
    )
