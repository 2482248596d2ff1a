"""Task tokens (orchestration.md 7.2): the order of checks, the names of refusals, rotation."""

import base64
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from tests.fakes import START_MS, FrozenClock

from arco.dispatch import tokens
from arco.dispatch.tokens import InvalidTaskToken, TaskClaims, TaskTokens, TokenSettings, key_id, mismatch

SECRET = "task-token-secret-of-32-bytes-and-more"
OLD = "the-task-token-secret-before-this-one"
CLAIMS = TaskClaims(
    task_id="ct1_abc", tenant_id="acme", workspace_id="prod", run_id="run-1", attempt=2, attempt_id="att_2"
)


def settings(**changes: Any) -> TokenSettings:
    return TokenSettings(**{"secret": SECRET, "issuer": "arco", "audience": "arco-tasks", **changes})


def signed(secret: str = SECRET, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as another writer mints it: no kid, whatever claims."""
    now = START_MS // 1000
    claims = {
        "taskId": "ct1_abc",
        "tenantId": "acme",
        "workspaceId": "prod",
        "runId": "run-1",
        "attempt": 2,
        "attemptId": "att_2",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "iss": "arco",
        "aud": "arco-tasks",
    }
    body = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode({"alg": "HS256", **(header or {})}, body, OctKey.import_key(secret))


def refusal(token: str, **where: Any) -> str:
    with pytest.raises(InvalidTaskToken) as caught:
        TaskTokens(settings(), FrozenClock()).read(token, **{"task_id": "ct1_abc", **where})
    return caught.value.reason


def test_a_minted_token_says_what_it_was_minted_for_until_it_expires():
    clock = FrozenClock()
    good = TaskTokens(settings(), clock)
    minted = good.mint(CLAIMS, ttl_s=3600)
    assert int(minted.expires_at.timestamp()) == START_MS // 1000 + 3600
    assert good.read(minted.token, task_id="ct1_abc", scope=("acme", "prod")) == CLAIMS
    clock.ms = START_MS + 3_660_000
    assert good.read(minted.token, task_id="ct1_abc") == CLAIMS
    clock.ms += 1_001
    with pytest.raises(InvalidTaskToken, match="expired"):
        good.read(minted.token, task_id="ct1_abc")


def test_a_minted_token_holds_the_claims_of_the_contract_and_no_others():
    token = TaskTokens(settings(), FrozenClock()).mint(CLAIMS, ttl_s=60).token
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in token.split("."))
    assert json.loads(base64.urlsafe_b64decode(header)) == {"alg": "HS256", "kid": key_id(SECRET), "typ": "JWT"}
    assert set(json.loads(base64.urlsafe_b64decode(payload))) == {
        *("taskId", "tenantId", "workspaceId", "runId", "attempt", "attemptId"),
        *("iat", "nbf", "exp", "iss", "aud"),
    }


def test_tokens_of_other_writers_are_read_in_snake_case_and_without_a_kid():
    snake: dict[str, Any] = {
        "taskId": None,
        "task_id": "ct1_abc",
        "tenantId": None,
        "tenant": "acme",
        "workspaceId": None,
        "workspace_id": "prod",
        "runId": None,
        "run_id": "run-1",
        "attemptId": None,
        "attempt_id": "att_2",
    }
    assert TaskTokens(settings(), FrozenClock()).read(signed(**snake), task_id="ct1_abc") == CLAIMS


@pytest.mark.parametrize(
    ("changes", "where", "reason"),
    [
        ({"exp": 0, "iss": "x", "taskId": "x"}, {}, tokens.EXPIRED),
        ({"exp": None}, {}, tokens.EXPIRED),
        ({"exp": True}, {}, tokens.EXPIRED),
        ({"nbf": START_MS // 1000 + 61, "iss": "x"}, {}, tokens.NOT_YET_VALID),
        ({"iss": None, "aud": None}, {}, tokens.ISSUER_MISMATCH),
        ({"iss": "arco2"}, {}, tokens.ISSUER_MISMATCH),
        ({"aud": "arco", "taskId": "x"}, {}, tokens.AUDIENCE_MISMATCH),
        ({"aud": None}, {}, tokens.AUDIENCE_MISMATCH),
        ({}, {"task_id": "ct1_other"}, tokens.TASK_ID_MISMATCH),
        ({"task_id": "ct1_other"}, {}, tokens.TASK_ID_MISMATCH),
        ({}, {"scope": ("other", "prod")}, tokens.TENANT_MISMATCH),
        ({}, {"scope": ("acme", "other")}, tokens.WORKSPACE_MISMATCH),
        ({"attemptId": None}, {}, tokens.MISSING_SCOPE_CLAIMS),
        ({"attempt": None}, {}, tokens.MISSING_SCOPE_CLAIMS),
        ({"attempt": 0}, {}, tokens.MISSING_SCOPE_CLAIMS),
        ({"attempt": "2"}, {}, tokens.MISSING_SCOPE_CLAIMS),
        ({"runId": None}, {}, tokens.MISSING_SCOPE_CLAIMS),
        ({"tenantId": None}, {}, tokens.MISSING_SCOPE_CLAIMS),
    ],
)
def test_a_token_is_refused_for_the_first_thing_that_is_wrong(
    changes: dict[str, Any], where: dict[str, Any], reason: str
):
    assert refusal(signed(**changes), **where) == reason


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "ey.ey.ey", "x" * 9000, "é.é.é"])
def test_what_is_no_token_is_refused(token: str):
    assert refusal(token) == tokens.BAD_FORMAT


def test_no_other_algorithm_and_no_signature_is_accepted():
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    body = signed().split(".")[1]
    assert refusal(f"{part({'alg': 'none'})}.{body}.") == tokens.BAD_FORMAT
    assert refusal(f"{part({'alg': 'HS512'})}.{body}.aaaa") == tokens.BAD_FORMAT
    assert refusal(signed(header={"crit": []})) == tokens.BAD_FORMAT
    assert refusal(signed("another-secret-that-is-long-enough-too")) == tokens.BAD_SIGNATURE
    assert refusal(".".join([*signed().split(".")[:2], ""])) == tokens.BAD_SIGNATURE


def test_an_old_secret_is_good_until_its_time_is_over_and_is_never_minted_with():
    clock = FrozenClock()
    good = TaskTokens(settings(previous_secret=OLD, previous_until_ms=START_MS + 1000), clock)
    for token in (signed(OLD), TaskTokens(settings(secret=OLD), clock).mint(CLAIMS, ttl_s=60).token):
        assert good.read(token, task_id="ct1_abc") == CLAIMS
    fresh = good.mint(CLAIMS, ttl_s=60).token
    assert TaskTokens(settings(), clock).read(fresh, task_id="ct1_abc") == CLAIMS
    clock.ms += 1000
    with pytest.raises(InvalidTaskToken, match="bad_signature"):
        good.read(signed(OLD), task_id="ct1_abc")


def test_a_kid_only_says_which_secret_is_tried_first():
    good = TaskTokens(settings(previous_secret=OLD), FrozenClock())
    assert good.read(signed(OLD, header={"kid": key_id(SECRET)}), task_id="ct1_abc") == CLAIMS
    assert good.read(signed(header={"kid": "unheard-of"}), task_id="ct1_abc") == CLAIMS


def test_a_genuine_token_of_another_attempt_is_told_by_name():
    current: dict[str, Any] = {"run_id": "run-1", "attempt": 2, "attempt_id": "att_2"}
    assert mismatch(CLAIMS, **current) is None
    assert mismatch(CLAIMS, **{**current, "run_id": "run-2"}) == "run_id_mismatch"
    assert mismatch(CLAIMS, **{**current, "attempt": 3}) == "attempt_mismatch"
    assert mismatch(CLAIMS, **{**current, "attempt_id": "att_3"}) == "attempt_id_mismatch"


def test_neither_secret_nor_token_is_shown():
    minted = TaskTokens(settings(), FrozenClock()).mint(CLAIMS, ttl_s=60)
    assert minted.token not in repr(minted)
    assert SECRET not in repr(settings())
