"""Identifiers: forms, order, and that a standing clock makes no duplicates."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.entropy import MintedIds
from arco.core.ids import is_ulid, is_uuid, ulid_from_int, ulid_ms, ulid_to_int, uuid7_from


class _Clock:
    def __init__(self, *moments: int) -> None:
        self.moments = list(moments)

    def now_ms(self) -> int:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]

    def steady_ms(self) -> int:
        return 0

    async def sleep_ms(self, duration_ms: int) -> None:
        return None


class _Entropy:
    def bytes(self, count: int) -> bytes:
        return b"\xff" * count


@given(value=st.integers(0, 2**128 - 1))
def test_a_ulid_is_its_number_and_back(value: int) -> None:
    text = ulid_from_int(value)
    assert is_ulid(text)
    assert ulid_to_int(text) == value


@pytest.mark.parametrize("wrong", ["I", "l", "U", "a", "_", " ", "+", "é", "!"])
def test_what_is_no_digit_of_a_ulid_is_refused(wrong: str) -> None:
    for text in (wrong, f"0{wrong}1", f"0{wrong}", f"{wrong}0"):
        with pytest.raises(ValueError, match="invalid literal"):
            ulid_to_int(text)


@given(first=st.integers(0, 2**128 - 1), second=st.integers(0, 2**128 - 1))
def test_ulids_sort_as_their_numbers_do(first: int, second: int) -> None:
    assert (ulid_from_int(first) < ulid_from_int(second)) == (first < second)


def test_ulids_of_one_source_grow_even_when_the_clock_stands_still_or_steps_back() -> None:
    ids = MintedIds(_Clock(1_000, 1_000, 900, 900, 1_100), _Entropy())
    made = [ids.ulid() for _ in range(5)]
    assert made == sorted(set(made))
    assert ulid_ms(made[0]) == 1_000


@given(time_ms=st.integers(0, 2**48 - 1), random=st.binary(min_size=10, max_size=10))
def test_a_uuid7_is_one_by_the_standard_library_too(time_ms: int, random: bytes) -> None:
    text = uuid7_from(time_ms, random)
    parsed = uuid.UUID(text)
    assert is_uuid(text)
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == time_ms


def test_what_is_no_ulid_or_uuid_is_not_taken_for_one() -> None:
    for text in ("", "01M7YXVX6J39K8KWYTS7R01GY", "81M7YXVX6J39K8KWYTS7R01GYH", "01m7yxvx6j39k8kwyts7r01gyh"):
        assert not is_ulid(text)
    assert not is_uuid("01A1FDDD-F4D2-7E9C-8303-946DBF6545CF")
