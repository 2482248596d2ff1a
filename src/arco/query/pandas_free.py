"""Processes without pandas: where it is installed, Arrow loads it as it makes its first array, half a second and 60 MB
in the middle of somebody's request. Arco's own processes have no use for it.
"""

import sys
from typing import Final

_ABSENT: Final = "pandas"


class _Without:
    """A finder that finds no pandas; the import system asks it first."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == _ABSENT:
            raise ModuleNotFoundError(f"{name} is not loaded in processes of arco", name=name)


def load_no_pandas() -> None:
    """Make pandas look as if it were not installed, in this process; for processes that are arco's alone."""
    sys.meta_path.insert(0, _Without())
