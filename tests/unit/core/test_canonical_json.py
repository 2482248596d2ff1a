"""Canonical JSON and the hashes made of it: vectors of the contract, and what must hold for any value.

Numbers in names are items of the conformance list of orchestration.md 10.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.canonical_json import canonical_json, canonical_sha256

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(value=values)
def test_canonical_json_is_json_and_says_the_same(value: Any) -> None:
    assert json.loads(canonical_json(value).decode("utf-8", "surrogatepass")) == value


@given(value=st.dictionaries(st.text(max_size=5), values, max_size=6), seed=st.randoms())
def test_the_order_of_keys_leaves_no_mark(value: dict[str, Any], seed: Any) -> None:
    items = list(value.items())
    seed.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


@given(value=values)
def test_there_is_no_white_space_outside_strings(value: Any) -> None:
    assert canonical_json(value) == json.dumps(
        json.loads(canonical_json(value).decode("utf-8", "surrogatepass")), ensure_ascii=False, separators=(",", ":")
    ).encode("utf-8", "surrogatepass")


def test_keys_sort_by_utf16_code_units_as_rfc_8785_asks() -> None:
    # U+1F600 is above U+FB33 by code point and below it by code unit.
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("text", ["1.0", "1e3", "-0.0", '{"a":[{"b":2.5}]}'])
def test_04_a_float_is_refused_even_one_that_is_whole(text: str) -> None:
    with pytest.raises(TypeError, match="no floats"):
        canonical_json(json.loads(text))


@given(value=st.dictionaries(st.text(st.characters(max_codepoint=0xD7FF)), values, max_size=6))
def test_04_nested_keys_are_in_the_order_of_their_bytes_and_stay_so(value: dict[str, Any]) -> None:
    unsorted = {"z": 1, "\u00e9": {"b": [{"y": 1, "x": 2}], "a": None}, "a": value}
    text = canonical_json(unsorted)
    assert canonical_json(json.loads(text.decode("utf-8", "surrogatepass"))) == text
    assert text.startswith(b'{"a":') and text.endswith('"z":1,"\u00e9":{"a":null,"b":[{"x":2,"y":1}]}}'.encode())
    found = list(json.loads(text.decode("utf-8", "surrogatepass"))["a"])
    assert found == sorted(found, key=str.encode)


def test_a_float_and_a_key_that_is_not_text_are_refused() -> None:
    for value in (1.5, {1: "a"}, [{"a": 0.1}]):
        with pytest.raises(TypeError):
            canonical_json(value)


def test_the_request_hash_vector_of_the_contract() -> None:
    assert (
        canonical_sha256({"description": None, "name": "analytics"})
        == "0e3e6531e4340fe4ce6eafbd3d9b42dbb30e350b1eb677c43c3e60bf7db893fb"
    )
