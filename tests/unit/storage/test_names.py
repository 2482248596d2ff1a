import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.paths import InvalidKey, checked_key
from arco.storage.names import KEY_BYTES_MAX, SEGMENT_BYTES_MAX, list_prefix, object_key

SEGMENTS = st.text(st.sampled_from("aB.0 -_=~\u00e9\U0001f40b/\\%\0\n\x7f\ud800"), max_size=80)


@pytest.mark.parametrize(
    "text", ["a", "a/b.c", "tenant=x/workspace=y/z", "two words", "caf\u00e9", "x" * 255, "a..b/c."]
)
def test_keys_of_every_adapter(text: str):
    assert object_key(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("/a", "relative"),
        ("a/", "slash"),
        ("a//b", "segments"),
        ("a/./b", "segments"),
        (".a", "dot"),
        ("a/.b", "dot"),
        ("a%b", "percent"),
        ("a\tb", "control"),
        ("a\ud800", "Unicode"),
        ("x" * (SEGMENT_BYTES_MAX + 1), "bytes"),
        ("\u00e9" * 128, "bytes"),
        ("/".join(["x" * 100] * 11), str(KEY_BYTES_MAX)),
    ],
)
def test_a_refused_key_is_told_why(text: str, reason: str):
    with pytest.raises(InvalidKey) as caught:
        object_key(text)
    assert reason in caught.value.reason


@given(SEGMENTS)
def test_every_object_key_is_a_checked_key_without_hidden_or_long_names(text: str):
    try:
        key = object_key(text)
    except InvalidKey:
        return
    assert checked_key(text) == key
    assert all(part and part[0] != "." and len(part.encode()) <= SEGMENT_BYTES_MAX for part in key.split("/"))


@given(SEGMENTS)
def test_every_beginning_of_a_key_that_a_listing_takes_begins_a_key(text: str):
    try:
        prefix = list_prefix(text)
    except InvalidKey:
        return
    assert object_key(f"{prefix}a") == f"{prefix}a"


@pytest.mark.parametrize("text", ["", "a", "a/", "a/b", "tenant=x/"])
def test_prefixes_may_be_empty_or_end_anywhere(text: str):
    assert list_prefix(text) == text


@pytest.mark.parametrize("text", ["/", "/a", "..", "../", ".", "a/.", "a/..", "a//", "./a", ".locks/", "a\\"])
def test_prefixes_that_leave_or_that_are_ours_are_refused(text: str):
    with pytest.raises(InvalidKey):
        list_prefix(text)
