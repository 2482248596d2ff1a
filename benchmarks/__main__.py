"""`python -m benchmarks`: load catalogs, run every case, print a table and write JSON."""

import argparse
import asyncio
import json
import os
import platform
import shutil
from pathlib import Path

from benchmarks.cases import Measured, Row, floors, working_copy
from benchmarks.loading import loaded
from benchmarks.remote import remote
from benchmarks.roles import apart


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="0,100000,1000000", help="catalog sizes, comma separated")
    parser.add_argument("--parts", default="far,catalog,apart", help="what to measure, comma separated")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where catalogs and results go")
    parser.add_argument("--json", type=Path, help="where the JSON goes (default: FOLDER/latest.json)")
    args = parser.parse_args()
    folder = args.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    parts = args.parts.split(",")
    found: dict[str, list[Row]] = {}
    if "far" in parts:
        found |= {"machine": floors(folder), "30 ms store": remote()}
        _print("machine", found["machine"])
        _print("30 ms store", found["30 ms store"])
    for size in (int(text) for text in args.sizes.split(",")):
        for part, measure in (("catalog", _catalog), ("apart", _apart)):
            if part in parts and (part == "catalog" or size):
                title = f"{size:,} tables" + (", api and compactor apart" if part == "apart" else "")
                found[title] = measure(loaded(folder, size), size)
                _print(title, found[title])
    _print("growth", _growth(found))
    facts = {"python": platform.python_version(), "processors": os.cpu_count(), "system": platform.platform()}
    target = args.json or folder / "latest.json"
    target.write_text(json.dumps({"machine": facts, "cases": found}, indent=2))
    print(f"\nwritten to {target}")


def _catalog(source: Path, size: int) -> list[Row]:
    storage = working_copy(source)
    try:
        return asyncio.run(Measured(storage, size).run())
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _apart(source: Path, size: int) -> list[Row]:
    storage = working_copy(source)
    try:
        return apart(storage, size)
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _growth(found: dict[str, list[Row]]) -> list[Row]:
    sizes = [title for title in found if title.endswith("tables")]
    rows: list[Row] = []
    for what in ("create, p50", "create, 64 clients"):
        figures = [{row[0]: row[1] for row in found[title]}.get(what) for title in sizes]
        if len(figures) > 1 and figures[0] and figures[-1]:
            ratio = figures[-1] / figures[0] if what.endswith("p50") else figures[0] / figures[-1]
            rows.append((f"{what}: {sizes[-1]} / {sizes[0]}", ratio, "x", "<= 1.3"))
    return rows


def _print(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    for what, figure, unit, target in rows:
        verdict = "" if not target else ("ok" if _holds(figure, target) else "MISSED")
        print(f"  {what:<58} {figure:>12,.2f} {unit:<6} {target:<10} {verdict}", flush=True)


def _holds(figure: float, target: str) -> bool:
    relation, bound = target.split()
    return {"<=": figure <= float(bound), ">=": figure >= float(bound), "=": figure == float(bound)}[relation]


if __name__ == "__main__":
    main()
