"""Partition keys: one canonical text for each set of values (orchestration.md 1.6, conformance 2 and 5)."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.errors import InvalidInput
from arco.core.partitions import parse_partition_key, partition_id, partition_key

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.dates(min_value=date(1970, 1, 1)),
    st.integers(0, 253_402_300_799_000_000).map(lambda us: EPOCH + timedelta(microseconds=us)),
    st.text(st.characters(codec="utf-8")),
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("date=d:2025-01-15,region=s:dXMtZWFzdA", {"date": date(2025, 1, 15), "region": "us-east"}),
        ("count=i:42", {"count": 42}),
        ("active=b:true", {"active": True}),
        ("empty=s:", {"empty": ""}),
        ("hostile=s:YS9iXGM_ZD1lJmYjZyVoOmlAaiFrJGw", {"hostile": r"a/b\c?d=e&f#g%h:i@j!k$l"}),
        ("e=s:8J-OiQ", {"e": "🎉"}),
        ("hour=t:2025-01-15T10:00:00.000000Z", {"hour": datetime(2025, 1, 15, 10, tzinfo=UTC)}),
        ("gone=n:null", {"gone": None}),
    ],
)
def test_02_05_partition_keys_are_the_contracts(text: str, values: dict[str, object]) -> None:
    assert parse_partition_key(text) == values
    assert partition_key(values) == text  # type: ignore[arg-type]  # values of the table are of all kinds


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), VALUES, max_size=4))
def test_05_values_come_back_as_they_were(values: dict[str, object]) -> None:
    assert parse_partition_key(partition_key(values)) == values  # type: ignore[arg-type]  # values of all kinds


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("date", "is not name=tag:value"),
        ("date=2025-01-15", "needs one of the tags"),
        ("date=x:1", "needs one of the tags"),
        ("a=i:1,a=i:2", "is there twice"),
        ("b=i:1,a=i:2", "names are sorted"),
        ("A=i:1", "is not name=tag:value"),
        ("a=i:1,", "is not name=tag:value"),
        ("a=s:!", "a=s:!"),
        ("a=s:YQ==", "is written a=s:YQ"),
        ("a=i:01", "is written a=i:1"),
        ("a=i:-0", "is written a=i:0"),
        ("a=i:99999999999999999999", "64-bit"),
        ("a=b:True", "true or false"),
        ("a=d:2025-13-01", "month"),
        ("a=d:1969-12-31", "from 1970 on"),
        ("a=t:2025-01-15T10:00:00Z", "ffffffZ"),
        ("a=n:nil", "not null"),
    ],
)
def test_05_what_is_not_canonical_is_refused_with_the_reason(text: str, because: str) -> None:
    with pytest.raises(InvalidInput, match=because):
        parse_partition_key(text)


def test_02_06_a_partition_has_one_id_in_its_asset() -> None:
    asset = "01930a0b-1234-7abc-9def-0123456789ab"
    assert partition_id(asset, "date=d:2025-01-15") == "part_d6abb069bae7cb7af28672bf7a40f2e5"
    assert partition_id("01930a0b-1234-7abc-9def-0123456789ac", "date=d:2025-01-15") != partition_id(
        asset, "date=d:2025-01-15"
    )
