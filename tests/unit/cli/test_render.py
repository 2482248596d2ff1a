import pytest

from arco.cli.render import Table, cell_text, counted, cut, display_width, table_of

AIRLINES = Table(
    ["airline", "flights", "late"],
    [["United Air Lines Inc.", 58665, 22.5], ["JetBlue Airways", 54635, None], ["SkyWest", 32, 3]],
)


def test_columns_are_aligned_and_numbers_stand_on_the_right():
    assert AIRLINES.lines(None) == [
        "airline                flights  late",
        "─────────────────────  ───────  ────",
        "United Air Lines Inc.    58665  22.5",
        "JetBlue Airways          54635",
        "SkyWest                     32     3",
    ]


def test_the_widest_column_is_cut_first_to_fit_the_terminal():
    assert AIRLINES.lines(26) == [
        "airline      flights  late",
        "───────────  ───────  ────",
        "United Air…    58665  22.5",
        "JetBlue Ai…    54635",
        "SkyWest           32     3",
    ]


def test_columns_that_cannot_fit_are_left_out_and_counted():
    table = Table(["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"], [["1" * 8] * 4])
    lines = table.lines(18)
    assert lines[0] == "aaaaaaaa  bbbbbbbb"
    assert lines[-1] == "(2 columns left out: use a wider terminal or --json)"


@pytest.mark.parametrize("width", [1, 2, 5, 17, 40])
def test_no_line_of_a_table_is_wider_than_the_terminal(width):
    lines = AIRLINES.lines(width)
    rows = [line for line in lines if not line.startswith("(")]
    assert max(display_width(line) for line in rows) <= width


def test_an_empty_table_still_shows_its_columns():
    assert Table(["name", "type"], []).lines(80) == ["name  type", "────  ────"]


def test_values_are_shown_shortly_and_null_is_nothing():
    assert [cell_text(value) for value in (None, True, 0.1, 7, "x")] == ["", "true", "0.1", "7", "x"]


def test_control_characters_of_the_data_never_reach_the_terminal():
    assert cell_text("a\x1b[2Jb\nc\u202e\x9b") == "a\\u001b[2Jb\\nc\\u202e\\u009b"


def test_wide_characters_count_two_cells_and_accents_none():
    assert display_width("東京") == 4
    assert display_width("e\u0301") == 1
    assert cut("東京都庁", 5) == "東京…"


def test_a_count_reads_as_english():
    assert counted(1, "row") == "1 row"
    assert counted(336_776, "row") == "336,776 rows"
    assert counted(2, "edge within 1 hop") == "2 edges within 1 hop"
    assert counted(0, "entry") == "0 entries"


def test_a_table_of_objects_picks_the_named_fields():
    table = table_of([{"name": "a", "n": 1}, {"name": "b"}], [("Name", "name"), ("count", "n")])
    assert table.lines(None) == ["Name  count", "────  ─────", "a         1", "b"]
