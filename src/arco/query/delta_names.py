"""Names of the files of a Delta log: which of them tell the latest version. Nothing is read here."""

import re
from collections.abc import Iterable
from typing import Final

LOG_FOLDER: Final = "_delta_log/"
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")


def checkpoint_version(name: str) -> int | None:
    """The version a checkpoint file belongs to, or None for another file."""
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else None


def commit_version(name: str) -> int | None:
    """The version a commit file makes, or None for another file."""
    match = _COMMIT.fullmatch(name)
    return int(match[1]) if match else None


def telling(names: Iterable[str]) -> list[str]:
    """The newest complete checkpoint's files and the commits after it, in order; empty when there is no log."""
    names = list(names)
    base, chosen = _newest_checkpoint(names)
    commits = sorted(name for name in names if (version := commit_version(name)) is not None and version > base)
    return [*chosen, *commits]


def _newest_checkpoint(names: list[str]) -> tuple[int, list[str]]:
    parts: dict[tuple[int, int], list[str]] = {}
    for name in names:
        match = _CHECKPOINT.fullmatch(name)
        if match:
            parts.setdefault((int(match[1]), int(match[3] or 1)), []).append(name)
    whole = [(version, count) for (version, count), files in parts.items() if len(files) == count]
    if not whole:
        return -1, []
    newest = max(whole)
    return newest[0], sorted(parts[newest])
