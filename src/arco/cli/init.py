"""`arco init`: a project that works at once."""

from argparse import Namespace
from pathlib import Path
from typing import Final

from arco.cli.failures import OK, CommandProblem
from arco.cli.terminal import Terminal

ASSETS: Final = '''"""Assets: functions whose result is a table. `arco dev` runs them."""

from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc

from arco import AssetIn, asset


@asset(namespace="raw")
def orders() -> pa.Table:
    """Orders as they came in."""
    print("reading orders")
    return pa.table(
        {
            "order_id": [1, 2, 3, 4, 5, 6],
            "customer": ["ada", "bob", "ada", "eve", "bob", "ada"],
            "amount": [12.5, 99.0, 7.25, 31.0, 4.75, 18.5],
        }
    )


@asset(namespace="marts")
def spending(orders: Annotated[pa.Table, AssetIn("raw.orders")]) -> pa.Table:
    """What each customer spent."""
    table = orders.group_by("customer").aggregate([("amount", "sum"), ("order_id", "count")])
    return table.rename_columns(["customer", "spent", "orders"])


@asset(namespace="marts")
def best_customer(spending: pa.Table) -> pa.Table:
    """Who spent most."""
    return spending.filter(pc.equal(spending["spent"], pc.max(spending["spent"])))
'''

TESTS: Final = '''"""Assets are functions: test them as such."""

import pyarrow as pa

from assets import spending


def test_spending_is_summed_by_customer():
    orders = pa.table({"order_id": [1, 2], "customer": ["ada", "ada"], "amount": [1.0, 2.0]})
    assert spending(orders).to_pylist() == [{"customer": "ada", "spent": 3.0, "orders": 2}]
'''

README: Final = """# A project of arco

```sh
arco dev                                  # server, worker, and these assets
arco run marts.best_customer --upstream   # in another terminal
arco query --data "SELECT * FROM lake.marts.best_customer"
python -m pytest                          # the assets' own tests
```

`assets.py` has the assets. Change it while `arco dev` runs: it is deployed again. `.arco-flow/state.json` keeps the ids
of assets and belongs in version control; `.arco`, with all tables, is this machine's and does not.
"""

GITIGNORE: Final = ".arco/\n__pycache__/\n"

FILES: Final = {"assets.py": ASSETS, "test_assets.py": TESTS, "README.md": README, ".gitignore": GITIGNORE}


def init(args: Namespace, terminal: Terminal) -> int:
    """Write the files of a small project; what is there already stays as it is."""
    folder = Path(args.folder)
    there = [name for name in FILES if (folder / name).exists()]
    if "assets.py" in there:
        raise CommandProblem(f"{folder / 'assets.py'} is there already", "choose an empty folder: arco init FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name in FILES if name not in there]
    for name in written:
        (folder / name).write_text(FILES[name], encoding="utf-8")
    if terminal.as_json:
        terminal.document({"folder": str(folder), "written": written})
        return OK
    terminal.say(f"wrote {', '.join(written)}")
    where = "" if folder == Path() else f"cd {folder} && "
    terminal.note(f"next:  {where}arco dev")
    return OK
