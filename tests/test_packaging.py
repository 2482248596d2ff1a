"""What a user installs is what the checkout holds: a typed wheel with its licence, its static files and its version."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Final

import pytest

import arco

ROOT: Final = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout by the declared backend; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert packed == {path.relative_to(ROOT / "src").as_posix() for path in files}
    assert "arco/py.typed" in packed


def test_the_wheel_is_pure_python_and_carries_the_licence(wheel: zipfile.ZipFile):
    assert wheel.filename is not None
    assert wheel.filename.endswith("-py3-none-any.whl")
    licence = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_installs_the_arco_command(wheel: zipfile.ZipFile):
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"arco = arco.cli.main:main" in wheel.read(entry_points)


def test_one_version_everywhere(wheel: zipfile.ZipFile):
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    packed = Parser().parsestr(wheel.read(metadata).decode("utf-8"))["Version"]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert packed == declared == arco.__version__ == _newest_in_the_changelog()


def _newest_in_the_changelog() -> str:
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
    heading = next(line for line in lines if line.startswith("## "))
    return heading.removeprefix("## ").split()[0]
