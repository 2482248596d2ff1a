"""From modules, packages and files to assets: what is found, and how what cannot be imported is told."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arco import DefinitionError
from arco.sdk.execute import load_assets

ORDERS = "from arco import asset\n\n@asset\ndef orders():\n    return []\n"
REPORT = "from arco import asset\nfrom {home} import orders\n\n@asset(deps=[orders])\ndef report():\n    return []\n"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_a_file_and_its_neighbour(tmp_path: Path) -> None:
    files(tmp_path, made_orders=ORDERS, made_report=REPORT.format(home="made_orders"))
    both = load_assets([str(tmp_path / "made_orders.py"), str(tmp_path / "made_report.py")])
    assert list(both.assets) == ["default.orders", "default.report"]
    # The neighbour came along with what it imports, as one and the same asset.
    assert list(load_assets([str(tmp_path / "made_report.py")]).assets) == ["default.orders", "default.report"]


def test_a_folder_of_files_and_packages(tmp_path: Path) -> None:
    files(tmp_path, plain=ORDERS, pack____init="", pack__deep____init="")
    (tmp_path / "pack").mkdir(exist_ok=True)
    (tmp_path / "pack" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "pack" / "deep").mkdir(exist_ok=True)
    (tmp_path / "pack" / "deep" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "pack" / "deep" / "reports.py").write_text(REPORT.format(home="plain"), "utf-8")
    (tmp_path / "pack" / "__main__.py").write_text("raise SystemExit(3)\n", "utf-8")
    assert list(load_assets([str(tmp_path)]).assets) == ["default.orders", "default.report"]
    assert sys.modules["pack.deep.reports"].__file__ == str(tmp_path / "pack" / "deep" / "reports.py")


def test_a_package_by_its_name_with_all_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_pack").mkdir()
    (tmp_path / "named_pack" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "named_pack" / "orders.py").write_text(ORDERS, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(load_assets(["named_pack"]).assets) == ["default.orders"]
    assert list(load_assets(["named_pack.orders"]).assets) == ["default.orders"]
    assert list(load_assets([str(tmp_path / "named_pack" / "orders.py")]).assets) == ["default.orders"]


def test_a_file_named_like_a_module_that_is_there_already(tmp_path: Path) -> None:
    import json

    files(tmp_path, json=ORDERS)
    assert list(load_assets([str(tmp_path / "json.py")]).assets) == ["default.orders"]
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("import nothing_like_it\n", r"ModuleNotFoundError: No module named 'nothing_like_it' \(.*broken\.py:1\)"),
        ("x = 1\nraise ValueError('boom')\n", r"ValueError: boom \(.*broken\.py:2\)"),
        ("x = 1\ndef f(:\n", r"SyntaxError: .* \(.*broken\.py:2\)$"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        (
            "from arco import asset\n@asset(retires=1)\ndef orders(): ...\n",
            r"broken\.py:2: asset orders: @asset takes no",
        ),
        ("x = 1\n", "no asset in .*: put @asset above a function"),
    ],
)
def test_what_cannot_be_imported_says_where_and_why(tmp_path: Path, text: str, because: str) -> None:
    files(tmp_path, broken=text)
    with pytest.raises(DefinitionError, match=because):
        load_assets([str(tmp_path / "broken.py")])
    assert "broken" not in sys.modules or text == "x = 1\n"


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"gone\.py is not there"):
        load_assets([str(tmp_path / "gone.py")])
    with pytest.raises(DefinitionError, match="gone_module cannot be imported: ModuleNotFoundError"):
        load_assets(["gone_module"])
    with pytest.raises(DefinitionError, match="no asset in no module"):
        load_assets([])


def test_a_set_is_in_the_order_of_its_dependencies(tmp_path: Path) -> None:
    files(
        tmp_path,
        chain="from arco import asset\n"
        "@asset(deps=['default.z'])\ndef a(): ...\n"
        "@asset\ndef z(): ...\n"
        "@asset(deps=['default.a'])\ndef m(): ...\n",
    )
    loaded = load_assets([str(tmp_path / "chain.py")])
    assert [one.name for one in loaded.in_order()] == ["z", "a", "m"]
    assert [one.name for one in loaded] == ["a", "m", "z"]
