"""Projects to begin with, as folders of files to read, run and change. What is there already stays as it is."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from arco.demo import source

CODE: Final = "assets.py"
DATA: Final = "data"
EXAMPLES: Final = ("orders", "flights")
"""The first is the one for whoever does not choose."""

_FILES: Final = {CODE: CODE, "test_assets.py": "test_assets.py", "README.md": "README.md", "gitignore": ".gitignore"}
"""Names in the package, where a `.gitignore` would be obeyed, and in a project."""


def write_project(example: str, folder: Path) -> Sequence[str]:
    """Write the files of an example that are missing in a folder; their names. Raises `DemoDataMissing`, `OSError`."""
    # First what can be missing on this machine: half a project would be taken for a whole one.
    laid_out = source.lay_out(folder / DATA) if example == "flights" else 0
    return [*([f"{DATA}/ ({laid_out} files)"] if laid_out else []), *write_code(example, folder)]


def write_code(example: str, folder: Path) -> Sequence[str]:
    """Write an example without its data. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = resources.files("arco.demo") / "projects" / example
    written = []
    for name, target in _FILES.items():
        if not (folder / target).exists():
            (folder / target).write_text((kept / name).read_text("utf-8"), "utf-8")
            written.append(target)
    return written
