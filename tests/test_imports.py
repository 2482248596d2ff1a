"""The walls between rooms hold, and importing arco costs next to nothing.

The walls are the contracts in pyproject.toml, under `tool.importlinter`; `docs/architecture.md` says why each stands.
"""

import ast
import importlib
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import grimp
import pytest
from importlinter.cli import lint_imports

import arco

ROOT: Final = Path(__file__).resolve().parent.parent
IMPORT_MS_MAX: Final = 50.0

SERVER_PACKAGES: Final = frozenset(
    {
        *("aiohttp", "authlib", "cryptography", "datafusion", "deltalake", "fsspec", "gcsfs", "hypercorn", "joserfc"),
        *("numpy", "pandas", "pyarrow", "starlette", "uvloop"),
    }
)

CLOUD_PACKAGES: Final = frozenset({"gcsfs", "google", "grpc", "s3fs", "aiobotocore", "botocore"})


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # import-linter reads the source that is in this checkout, wherever else arco may be installed.
    monkeypatch.syspath_prepend(str(ROOT / "src"))


def test_no_module_reaches_through_a_wall(capsys: pytest.CaptureFixture[str]):
    kept = lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True) == 0
    assert kept, capsys.readouterr().out


def test_every_module_named_in_a_wall_exists():
    """A renamed module would leave a hole where its old name stands."""
    modules = _graph().modules
    missing = [name for name in _expressions() if "*" not in name and name not in modules]
    assert not missing, missing


def test_every_name_with_a_star_in_a_wall_matches_something():
    graph = _graph()
    idle = [name for name in _expressions() if "*" in name and not graph.find_matching_modules(name)]
    assert not idle, idle


def test_every_module_of_core_is_either_pure_or_one_of_the_known_doors_to_the_machine():
    pure = {name for name in _contract("pure")["source_modules"] if name.startswith("arco.core.")}
    doors = {f"arco.core.{name}" for name in ("clock", "entropy", "log", "offload", "waiting")}
    core = {name for name in _graph().modules if name.startswith("arco.core.")}
    assert core <= pure | doors, core - pure - doors


def test_importing_arco_takes_under_50_ms_and_no_server_package():
    loaded = _loaded_after("import arco")
    assert not loaded & SERVER_PACKAGES
    # The median of several: the machine may be busy, and the import itself is what is bounded.
    times = [float(_run(_TIMED_IMPORT)) for _ in range(5)]
    assert statistics.median(times) < IMPORT_MS_MAX, times


def test_defining_assets_loads_no_server_package():
    loaded = _loaded_after("from arco import asset, asset_check, checks, daily\n@asset\ndef orders() -> None: ...\n")
    assert not loaded & SERVER_PACKAGES, sorted(loaded & SERVER_PACKAGES)


def test_every_name_of_the_sdk_is_what_a_type_checker_believes():
    source = ast.parse((ROOT / "src" / "arco" / "__init__.py").read_text("utf-8"))
    promised = {
        (alias.name, node.module)
        for block in source.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    given = {(name, home) for name, home in arco._HOME_OF.items()}
    assert promised == given
    for name, home in sorted(given):
        assert getattr(arco, name) is getattr(importlib.import_module(str(home)), name)


def test_the_help_of_the_command_line_loads_no_server_package():
    loaded = _loaded_after(
        "import sys\n"
        "sys.argv = ['arco', '--help']\n"
        "from arco.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
    )
    assert not loaded & SERVER_PACKAGES, sorted(loaded & SERVER_PACKAGES)


def test_a_server_on_local_files_loads_no_cloud():
    loaded = _loaded_after(
        "from arco.config.settings import load\n"
        "from arco.roles import all_roles\n"
        "from arco.roles.process import make_process\n"
        "settings = load('all', {'ARCO_STORAGE_BUCKET': 'memory://'})\n"
        "all_roles.build(settings, make_process('memory://'), {})\n"
    )
    assert not loaded & CLOUD_PACKAGES, sorted(loaded & CLOUD_PACKAGES)


_TIMED_IMPORT: Final = (
    "import time\nstart = time.perf_counter()\nimport arco\nprint((time.perf_counter() - start) * 1000)\n"
)


def _loaded_after(program: str) -> frozenset[str]:
    """The top-level packages that are loaded once `program` has run in an interpreter of its own."""
    listing = "\nimport sys\nprint('\\n' + ' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    return frozenset(_run(program + listing).splitlines()[-1].split())


def _run(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("arco", cache_dir=None)


def _contracts() -> list[dict[str, Any]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts: list[dict[str, Any]] = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return contracts


def _contract(name: str) -> dict[str, Any]:
    return next(contract for contract in _contracts() if contract["id"] == name)


def _expressions() -> list[str]:
    fields = ("source_modules", "forbidden_modules", "protected_modules", "allowed_importers")
    names = [name for contract in _contracts() for field in fields for name in contract.get(field, [])]
    return [name for name in names if name.partition(".")[0] == "arco"]
