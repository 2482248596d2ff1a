"""Keys of assets: orchestration.md 1.2, conformance 3."""

import pytest

from arco.core.asset_keys import asset_key
from arco.core.errors import InvalidInput


def test_03_both_forms_of_an_asset_key_are_one_key() -> None:
    assert asset_key("ns/name") == asset_key("ns.name") == "ns.name"
    assert asset_key("a.b.c") == asset_key("a/b.c") == "a.b.c"


def test_a_key_is_no_longer_than_the_name_of_a_folder() -> None:
    assert asset_key("a." + "b" * 253) == "a." + "b" * 253
    with pytest.raises(InvalidInput, match="at most 255 characters"):
        asset_key("a." + "b" * 254)


@pytest.mark.parametrize(
    "text", ["Ns.name", " a.b", "a.b ", "a.", ".b", "1a.b", "a", "", "a..b", "a/b/c", "a.b\n", "a.é"]
)
def test_03_what_is_no_asset_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no asset key"):
        asset_key(text)
