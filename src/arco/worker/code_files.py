"""The files of a project's code, and what tells one state of them from another."""

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

HEADER: Final = "X-Arco-Worker-Code"
"""In which a worker that watches its code says at `/health` which state of it is loaded."""

_UNWATCHED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


def state_of(targets: Sequence[str]) -> str:
    """A name for the state of every Python file of the targets; of modules, of those below the working directory."""
    places = [Path(target) for target in targets]
    folders = {place if place.is_dir() else place.parent if place.exists() else Path() for place in places}
    facts = sorted({fact for folder in folders for fact in _facts(folder)})
    return sha256(repr(facts).encode()).hexdigest()


def _facts(folder: Path) -> Iterator[tuple[str, int, int]]:
    """The files of a folder with their times and sizes."""
    for file in folder.rglob("*.py"):
        if any(part.startswith(".") or part in _UNWATCHED for part in file.relative_to(folder).parts):
            continue
        with contextlib.suppress(OSError):
            facts = file.stat()
            yield str(file), facts.st_mtime_ns, facts.st_size
