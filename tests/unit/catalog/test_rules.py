"""What the catalog accepts and how it words its refusals."""

import msgspec
import pytest

from arco.core.errors import InvalidInput
from arco.domains.catalog import rules
from arco.domains.catalog.rules import ColumnSpec

SCOPE = "tenant=acme/workspace=prod/"


@pytest.mark.parametrize("name", ["a", "a" * 255, "ä" * 127, "con.", "foo*", "${x}", "a b", "表", "A.b", "...", "a=b"])
def test_ordinary_and_odd_names_are_accepted(name):
    rules.check_name("name", name)


@pytest.mark.parametrize(
    "name",
    ["", "a" * 256, "ä" * 128, "a/b", "a\\b", ".", "..", " a", "a ", "a\u00a0", "a\n", "a\x00b", "a\x7f", "a\u0085b",
     "a\u202eb", "/", "\t"],
)  # fmt: skip  # one sample a line would fill a screen
def test_names_that_could_not_be_one_path_segment_or_be_shown_are_refused(name):
    with pytest.raises(InvalidInput, match=r"^name must"):
        rules.check_name("name", name)


def test_column_names_may_hold_slashes():
    rules.check_columns([ColumnSpec(name="km/h", data_type="DOUBLE")])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("a", "INT"), ("", "INT")], "columns[1].name must not be empty"),
        ([("a", "INT"), ("a", "INT")], "columns[1].name repeats 'a'; give every column its own name"),
        ([("a", " ")], "columns[0].data_type must not be empty"),
        ([(f"c{index}", "INT") for index in range(5_001)], "columns must not have more than 5000 entries"),
    ],
)
def test_a_bad_column_is_named(columns, message):
    with pytest.raises(InvalidInput) as refused:
        rules.check_columns([ColumnSpec(name=name, data_type=type_) for name, type_ in columns])
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("given", "stored"),
    [(None, "delta"), ("PaRqUeT", "parquet"), (" Iceberg ", "iceberg"), ("delta", "delta")],
)
def test_a_format_is_trimmed_and_folded_and_delta_by_default(given, stored):
    assert rules.normal_format(given) == stored


@pytest.mark.parametrize("given", ["orc", "", "delta lake"])
def test_an_unknown_format_is_refused_in_the_contracts_words(given):
    with pytest.raises(InvalidInput) as refused:
        rules.normal_format(given)
    assert refused.value.message == f"unknown table format '{given}'; expected one of: delta, iceberg, parquet"


@pytest.mark.parametrize(
    "location",
    ["gs://lake/tables/orders", "tables/orders", "/tables/orders/", f"gs://lake/{SCOPE}t", f"{SCOPE}t", "file:///x/y"],
)
def test_a_delta_location_that_names_a_directory_is_kept_as_it_is(location):
    assert rules.normal_location(location, "delta", SCOPE) == location


def test_a_delta_location_is_trimmed():
    assert rules.normal_location("  gs://lake/t  ", "delta", SCOPE) == "gs://lake/t"


@pytest.mark.parametrize(
    "location",
    ["", " ", "///", "gs://lake", "gs://lake/", f"gs://lake/{SCOPE}", SCOPE, "a/../b", "gs://lake/..", "./a", "a\\b",
     "a%2eb", "a\nb", "gs://lake/a/./b", "x" * 4097],
)  # fmt: skip  # one sample a line would fill a screen
def test_a_delta_location_outside_the_rule_is_refused(location):
    with pytest.raises(InvalidInput, match=r"^location must"):
        rules.normal_location(location, "delta", SCOPE)


@pytest.mark.parametrize("format_", ["iceberg", "parquet"])
@pytest.mark.parametrize("location", ["a/../b", " %2e ", "///", ""])
def test_other_formats_keep_such_text_verbatim(format_, location):
    assert rules.normal_location(location, format_, SCOPE) == location


@pytest.mark.parametrize(
    ("stored", "changes", "merged"),
    [
        (None, {"a": "1"}, {"a": "1"}),
        ('{"a":"1","b":"2"}', {"a": None, "c": "3"}, {"b": "2", "c": "3"}),
        ('{"a":"1"}', {"a": None}, None),
        ('{"a":"1"}', None, None),
        ('{"a":"1"}', {}, {"a": "1"}),
    ],
)
def test_properties_are_merge_patched(stored, changes, merged):
    result = rules.merged_properties(stored, changes)
    assert (None if result is None else msgspec.json.decode(result)) == merged


def test_too_many_or_too_long_properties_are_refused():
    with pytest.raises(InvalidInput):
        rules.check_properties("properties", {str(index): "" for index in range(501)})
    with pytest.raises(InvalidInput):
        rules.check_properties("properties", {"k": "v" * (16 * 1024)})
    with pytest.raises(InvalidInput):
        rules.check_properties("properties", {"": "v"})
    full = rules.properties_json({str(index): "" for index in range(500)})
    with pytest.raises(InvalidInput):
        rules.merged_properties(full, {"one more": ""})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [('"i.2"', True), ("*", True), ('"x", "i.2"', True), ('"i.1"', False), ('W/"i.2"', False), ("i.2", False)],
)
def test_if_match_compares_strongly(condition, holds):
    assert rules.matches_etag(condition, rules.etag("i", 2)) is holds


def test_a_new_updated_at_is_always_later():
    assert rules.later(10, 5) == 10
    assert rules.later(5, 5) == 6
    assert rules.later(1, 5) == 6
