"""Scopes, keys and instants: what is accepted, and what it is written as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.instant import http_text, parse_ms, stored_text
from arco.core.paths import InvalidKey, checked_key
from arco.core.scope import InvalidScopeId, Scope, scope_from_request


def test_a_scope_is_lower_cased_once_and_only_ascii() -> None:
    assert scope_from_request("Acme", "PROD").prefix == "tenant=acme/workspace=prod/"
    with pytest.raises(InvalidScopeId):
        scope_from_request("\u0130stanbul", "w")


@pytest.mark.parametrize("bad", ["", "a/b", "a\\b", "a\n", "a\0", "a b", "*", "tenant=b", "..", "ü"])
def test_an_id_that_could_leave_its_prefix_is_refused(bad: str) -> None:
    with pytest.raises(InvalidScopeId):
        Scope(bad, "w")
    with pytest.raises(InvalidScopeId):
        Scope("t", bad)


@pytest.mark.parametrize("bad", ["", "/x", "\\x", "a//b", "a/./b", "../x", "a/..", "a%2e", "a\\b", "a\x7fb", "a\nb"])
def test_text_that_is_no_key_is_refused_with_a_reason(bad: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        checked_key(bad)
    assert refused.value.reason


@given(time_ms=st.integers(0, 253_402_300_799_999))
def test_an_instant_reads_back_from_both_its_texts(time_ms: int) -> None:
    assert parse_ms(http_text(time_ms)) == time_ms
    assert parse_ms(stored_text(time_ms)) == time_ms


def test_a_fraction_of_zero_is_left_out_and_others_have_three_digits() -> None:
    assert http_text(1_767_225_600_000) == "2026-01-01T00:00:00+00:00"
    assert http_text(1_767_225_600_123) == "2026-01-01T00:00:00.123+00:00"
    assert stored_text(1_767_225_600_010) == "2026-01-01T00:00:00.010Z"
    with pytest.raises(ValueError, match="zone"):
        parse_ms("2026-01-01T00:00:00")
