"""A-01 to A-08: tokens that are not what they say: each is refused alike, and nothing is fetched or opened for it."""

import base64
import json
import socket
import statistics
import time
from functools import lru_cache
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from tests.http.world import a_world
from tests.unit.config.environments import PROD_API

from arco.config.problems import Problems
from arco.config.settings import load

from .callers import BASE, BY_SECRET, INVALID, Front, front, refused
from .issuers import EC, OCT, OTHER_EC, OTHER_RSA, RSA, bearer, by_hand, claims, issuing, jwk, now_s, part, pem, signed

HEADER = b'{"alg":"HS256"}'
NONE = b'{"alg":"none"}'
PAYLOAD = json.dumps(claims()).encode()


async def test_a00_good_tokens_of_every_kind_are_let_in():
    fronts = [(front("secret"), OCT), (front("public_key"), RSA)]
    fronts.append((Front({**BASE, "ARCO_JWT_PUBLIC_KEY_PEM": pem(EC)}), EC))
    for gate, key in fronts:
        answer = await gate.ask(bearer(signed(key=key)))
        assert answer.json() == ["acme", "prod", "ada"]


UNSIGNED = {
    **{name: by_hand(json.dumps({"alg": name}).encode()) for name in ("none", "None", "nOnE", "NONE", "", "hs256")},
    "none without signature": f"{part(NONE)}.{part(PAYLOAD)}.",
    "no signature": by_hand(HEADER).rpartition(".")[0] + ".",
    "no third part": by_hand(HEADER).rpartition(".")[0],
    "no alg": by_hand(b"{}"),
    "alg null": by_hand(b'{"alg":null}'),
    "alg list": by_hand(b'{"alg":["HS256"]}'),
    "five parts": by_hand(HEADER) + ".a.b",
    "signature cut": by_hand(HEADER)[:-3],
    "signature of other bytes": by_hand(HEADER).rpartition(".")[0] + "." + part(b"\0" * 32),
}


@pytest.mark.parametrize("token", UNSIGNED.values(), ids=UNSIGNED)
@pytest.mark.parametrize("kind", ["secret", "public_key"])
async def test_a01_a_token_that_nobody_signed_is_refused_like_one_with_a_bad_signature(token, kind):
    bad = await front(kind).ask(bearer(signed(key=OTHER_RSA)))
    answer = await front(kind).ask(bearer(token))
    assert refused(answer) == refused(bad) == INVALID
    without_id = [{**one.json(), "requestId": ""} for one in (answer, bad)]
    assert without_id[0] == without_id[1]


async def test_a01_refusing_an_unsigned_token_takes_as_long_as_refusing_a_bad_signature():
    authenticator = front("public_key").authenticator
    medians = []
    for token in (UNSIGNED["none"], signed(key=OTHER_RSA)):
        headers = {b"authorization": f"Bearer {token}".encode()}
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            with pytest.raises(Exception, match="Invalid bearer token"):
                authenticator.identify(headers)
            times.append(time.perf_counter() - begun)
        medians.append(statistics.median(times))
    assert abs(medians[0] - medians[1]) < 0.001


PEM = pem(RSA)
DER = base64.b64decode("".join(line for line in PEM.splitlines() if not line.startswith("-----")))


@pytest.mark.parametrize(
    "secret",
    [
        PEM.encode(),
        PEM.strip().encode(),
        PEM.encode() + b"\n",
        PEM.replace("\n", "\\n").encode(),
        DER,
        PEM.encode()[:-1],
    ],
    ids=["pem", "stripped", "newline", "escaped", "der", "cut"],
)
async def test_a02_the_public_key_is_not_a_secret(secret):
    assert refused(await front("public_key").ask(bearer(by_hand(HEADER, key=secret)))) == INVALID


CONFLICTS = {
    "secret and public key": ({"ARCO_JWT_PUBLIC_KEY_PEM": PEM}, {"ARCO_JWT_SECRET"}),
    "31 bytes": ({"ARCO_JWT_SECRET": "j" * 31}, {"ARCO_JWT_SECRET"}),
    "user secret is task secret": ({"ARCO_TASK_TOKEN_SECRET": PROD_API["ARCO_JWT_SECRET"]}, {"ARCO_TASK_TOKEN_SECRET"}),
    "previous user secret is task secret": (
        {"ARCO_JWT_SECRET_PREVIOUS": PROD_API["ARCO_TASK_TOKEN_SECRET"]},
        {"ARCO_TASK_TOKEN_SECRET"},
    ),
    "both at once": (
        {"ARCO_JWT_PUBLIC_KEY_PEM": PEM, "ARCO_TASK_TOKEN_SECRET": PROD_API["ARCO_JWT_SECRET"]},
        {"ARCO_JWT_SECRET", "ARCO_TASK_TOKEN_SECRET"},
    ),
    "short and both": (
        {"ARCO_JWT_PUBLIC_KEY_PEM": PEM, "ARCO_JWT_SECRET": "short", "ARCO_TASK_TOKEN_SECRET": "short"},
        {"ARCO_JWT_SECRET", "ARCO_TASK_TOKEN_SECRET"},
    ),
}


@pytest.mark.parametrize(("changes", "named"), CONFLICTS.values(), ids=CONFLICTS)
def test_a03_keys_that_contradict_each_other_or_are_too_short_stop_the_start(changes, named):
    found = load("api", {**PROD_API, **changes})
    assert isinstance(found, Problems)
    assert named <= {problem.variable for problem in found.problems}


async def test_a04_a_task_token_is_no_user_token_even_if_the_secrets_were_equal():
    task = {"iss": "arco-tasks", "aud": "arco-tasks", "taskId": "t", "runId": "r", "attempt": 1, "exp": now_s() + 60}
    assert refused(await front("secret").ask(bearer(signed(task)))) == INVALID
    assert (
        refused(await front("secret").ask(bearer(signed({**task, "tenant": "acme", "workspace": "prod"})))) == INVALID
    )


NOW = now_s()
BAD_CLAIMS = {
    **{f"no {name}": {name: None} for name in ("exp", "iat", "iss", "aud", "sub", "tenant", "workspace")},
    **{f"empty {name}": {name: ""} for name in ("iss", "aud", "sub", "tenant", "workspace")},
    **{f"list {name}": {name: ["acme"]} for name in ("iss", "sub", "tenant", "workspace")},
    **{f"object {name}": {name: {"a": 1}} for name in ("iss", "aud", "sub", "tenant", "workspace", "exp", "groups")},
    **{f"number {name}": {name: 7} for name in ("iss", "aud", "sub", "tenant", "workspace", "groups")},
    **{f"true {name}": {name: True} for name in ("exp", "nbf", "iat", "sub", "tenant")},
    "empty list of audiences": {"aud": []},
    "audiences of other kinds": {"aud": ["arco", 7]},
    "exp in milliseconds": {"exp": NOW * 1000},
    "exp beyond all time": {"exp": 10**20},
    "exp as text": {"exp": str(NOW + 600)},
    "exp negative": {"exp": -1},
    "exp passed": {"exp": NOW - 90},
    "nbf later": {"nbf": NOW + 3_600},
    "iat later": {"iat": NOW + 3_600},
    "nbf in milliseconds": {"nbf": NOW * 1000},
    "groups of numbers": {"groups": ["a", 1]},
}


@pytest.mark.parametrize("change", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
async def test_a05_a_claim_that_is_missing_or_not_what_it_must_be(change):
    assert refused(await strict().ask(bearer(signed(claims(**change))))) == INVALID


@lru_cache
def strict() -> Front:
    """Rules as in staging and prod, where `iat` is required too."""
    made = Front(BY_SECRET)
    made.authenticator._rules = msgspec.structs.replace(made.authenticator._rules, issued_at=True)  # type: ignore[attr-defined]  # no setting of dev does it
    return made


def test_a05_outside_dev_iat_is_required():
    found = load("api", PROD_API)
    assert not isinstance(found, Problems)
    assert found.auth.issued_at


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "9" * 5_000, "1e-400"])
async def test_a05_numbers_that_no_float_holds_are_refused_and_never_our_error(text):
    payload = json.dumps(claims(exp=None)).encode()[:-1] + f',"exp":{text}}}'.encode()
    assert refused(await front("secret").ask(bearer(by_hand(HEADER, payload)))) == INVALID


POINTERS = {
    "jku": {"jku": "http://127.0.0.1:1/keys"},
    "x5u": {"x5u": "http://127.0.0.1:1/cert"},
    "jwk": {"jwk": jwk(OTHER_RSA, "x")},
    "x5c": {"x5c": ["AAAA"]},
    "crit": {"crit": ["x"], "x": 1},
    "crit b64": {"crit": ["b64"], "b64": False},
    "b64": {"b64": False},
    "zip": {"zip": "DEF"},
    "kid path": {"kid": "../../etc/passwd"},
    "kid long": {"kid": "k" * 10_240},
    "kid sql": {"kid": "' OR 1=1 --"},
    "kid list": {"kid": ["a"]},
    "kid number": {"kid": 7},
    "kid empty": {"kid": ""},
    "kid line": {"kid": "a\nb"},
    "nested": {"x": {"y": {"z": 1}}},
}


@pytest.mark.parametrize("extra", POINTERS.values(), ids=POINTERS)
@pytest.mark.parametrize("kind", ["good", "forged"])
async def test_a06_what_a_header_points_to_is_never_followed(extra, kind, monkeypatch):
    calls: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *given: calls.append(given))
    monkeypatch.setattr("builtins.open", lambda *given, **_: calls.append(given))
    key = RSA if kind == "good" else OTHER_RSA
    header = json.dumps({"alg": "RS256", **extra}).encode()
    text = f"{part(header)}.{part(PAYLOAD)}"
    token = f"{text}.{part(_rs256(key, text))}"
    answer = await front("public_key").ask(bearer(token))
    assert answer.status_code in ((401,) if kind == "forged" else (401, 200))
    assert calls == []


def _rs256(key: Any, text: str) -> bytes:

    signature: bytes = key.private_key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    return signature


async def test_a06_a_made_up_kid_reaches_the_issuer_at_most_once_a_minute():
    async with issuing() as issuer:
        gate = Front({**BASE, "ARCO_JWT_JWKS_URL": issuer.jwks_url})
        assert (await gate.ask(bearer(signed(key=RSA, kid="rsa-1")))).status_code == 200
        for number in range(30):
            token = signed(key=OTHER_RSA, kid=f"../../{number}", jku="http://127.0.0.1:1/")
            assert refused(await gate.ask(bearer(token))) == INVALID
        assert issuer.fetches == 1


MIXED = {
    "says RS256, signed ES256": lambda: _relabelled("RS256", "ec-1"),
    "says ES256, names an RSA key": lambda: signed(key=OTHER_EC, kid="rsa-1"),
    "says RS256, names an EC key": lambda: signed(key=RSA, kid="ec-1"),
    "says HS256, names a published key": lambda: by_hand(b'{"alg":"HS256","kid":"rsa-1"}', key=PEM.encode()),
    "no kid": lambda: signed(key=RSA),
    "kid of somebody else's key": lambda: signed(key=OTHER_RSA, kid="rsa-1"),
    "kid twice in the set": lambda: signed(key=OTHER_RSA, kid="twice"),
    "key for another algorithm": lambda: signed(key=OTHER_RSA, kid="rs512"),
    "key for encryption": lambda: signed(key=OTHER_RSA, kid="enc"),
}


def _relabelled(algorithm: str, kid: str) -> str:
    _, payload, signature = signed(key=EC, kid=kid).split(".")
    return f"{part(json.dumps({'alg': algorithm, 'kid': kid}).encode())}.{payload}.{signature}"


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
async def test_a07_a_keys_own_algorithm_is_the_only_one_it_is_good_for(make):
    async with issuing() as issuer:
        gate = Front({**BASE, "ARCO_JWT_JWKS_URL": issuer.jwks_url})
        issuer.keys += [
            jwk(OTHER_RSA, "twice"),
            jwk(RSA, "twice"),
            jwk(OTHER_RSA, "rs512", alg="RS512"),
            jwk(OTHER_RSA, "enc", use="enc"),
        ]
        for good in (signed(key=RSA, kid="rsa-1"), signed(key=EC, kid="ec-1")):
            assert (await gate.ask(bearer(good))).status_code == 200
        assert refused(await gate.ask(bearer(make()))) == INVALID


TWICE = {
    "tenant": (HEADER, PAYLOAD[:-1] + b',"tenant":"evil"}'),
    "tenant the same": (HEADER, PAYLOAD[:-1] + b',"tenant":"acme"}'),
    "escaped tenant": (HEADER, PAYLOAD[:-1] + b',"\\u0074enant":"evil"}'),
    "exp": (HEADER, PAYLOAD[:-1] + b',"exp":9999999999}'),
    "nested": (HEADER, PAYLOAD[:-1] + b',"x":{"a":1,"a":2}}'),
    "alg": (b'{"alg":"none","alg":"HS256"}', PAYLOAD),
    "alg the other way": (b'{"alg":"HS256","alg":"none"}', PAYLOAD),
    "kid": (b'{"alg":"HS256","kid":"a","kid":"b"}', PAYLOAD),
}


@pytest.mark.parametrize(("header", "payload"), TWICE.values(), ids=TWICE)
async def test_a08_a_name_given_twice_in_a_token_is_refused(header, payload):
    assert refused(await front("secret").ask(bearer(by_hand(header, payload)))) == INVALID


@pytest.mark.parametrize(
    "body",
    [b'{"name":"a","name":"b"}', b'{"name":"a","\\u006eame":"b"}', b'{"name":"a","properties":{"k":"1","k":"2"}}'],
)
async def test_a08_a_name_given_twice_in_a_body_is_refused(body):
    async with a_world() as world, world.client() as api:
        answer = await api.post("/catalogs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "twice" in answer.json()["message"]
