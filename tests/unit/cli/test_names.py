import pytest

from arco.cli.failures import USAGE, UsageProblem
from arco.cli.names import dotted, parse_name, parse_table


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nyc", ("nyc",)),
        ("nyc.raw", ("nyc", "raw")),
        ("nyc.raw.flights", ("nyc", "raw", "flights")),
        ('"a.b".c', ("a.b", "c")),
        ('c.s."a.b"', ("c", "s", "a.b")),
        ('"say ""hi""".s', ('say "hi"', "s")),
        ("with space.été", ("with space", "été")),
    ],
)
def test_a_name_is_split_at_dots_outside_quotes_and_written_back(text, parts):
    assert parse_name(text) == parts
    assert parse_name(dotted(parts)) == parts


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("", "a part is empty"),
        (".", "a part is empty"),
        ("a.", "a part is empty"),
        ("a..b", "a part is empty"),
        ('"".a', "a part is empty"),
        ('"a', "a quote is not closed"),
        ('"a"b', "a quoted part must be followed by a dot"),
        ("a.b.c.d", "has 4 parts"),
    ],
)
def test_what_is_wrong_with_a_name_is_said_and_is_a_usage_error(text, defect):
    with pytest.raises(UsageProblem, match=defect) as caught:
        parse_name(text)
    assert caught.value.exit_code == USAGE
    assert caught.value.advice


def test_a_table_needs_three_parts():
    assert parse_table("a.b.c") == ("a", "b", "c")
    with pytest.raises(UsageProblem, match=r"'a\.b' names a schema, a table is needed"):
        parse_table("a.b")
