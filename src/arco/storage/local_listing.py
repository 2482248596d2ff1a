"""Keys below a directory in key order, whole files only.

The order is that of whole keys: a directory sorts as its name with a slash, so `a.json` comes before `a/b` and both
before `a0`. Names that begin with a dot are ours and links are nobody's: neither is listed.
"""

import stat
from collections.abc import Iterator

from arco.core.paths import Key
from arco.storage.local_disk import Disk
from arco.storage.local_writes import version_of
from arco.storage.port import ObjectInfo


def walk(disk: Disk, root: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
    """Objects below `root` whose keys begin with `prefix` and are greater than `after`, in key order.

    One directory's names are held in memory at a time and level. Raises `OSError`.
    """
    inside, _, _ = prefix.rpartition("/")
    return _walk(disk, root, f"{inside}/" if inside else "", (prefix, after))


def _walk(disk: Disk, root: str, inside: str, bounds: tuple[str, str]) -> Iterator[ObjectInfo]:
    prefix, after = bounds
    names: list[str] = []
    for entry in disk.names(f"{root}/{inside}"):
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        name = f"{inside}{entry.name}/" if entry.is_dir(follow_symlinks=False) else f"{inside}{entry.name}"
        if _may_hold(name, prefix, after):
            names.append(name)
    for name in sorted(names):
        if name.endswith("/"):
            yield from _walk(disk, root, name, bounds)
            continue
        found = disk.stat(f"{root}/{name}")
        if found is not None and stat.S_ISREG(found.st_mode):
            yield ObjectInfo(Key(name), version_of(found), found.st_size, found.st_mtime_ns // 1_000_000)


def _may_hold(name: str, prefix: str, after: str) -> bool:
    if not name.endswith("/"):
        return name.startswith(prefix) and name > after
    in_prefix = name.startswith(prefix) or prefix.startswith(name)
    return in_prefix and (name > after or after.startswith(name))
