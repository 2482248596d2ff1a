"""What manifests reach, and what only one of them reaches.

An object enters a chain once, under a fresh key, stays through consecutive manifests and never comes back. So what a
version alone holds is what neither of its retained neighbours reaches; and trees share pages, so that finding it takes
reads of what differs, not of the tree.
"""

from collections.abc import Iterable, Sequence

import msgspec

from arco.core.errors import CorruptData
from arco.core.paths import Key, number_in
from arco.kernel.loader import Loader
from arco.kernel.manifest import Manifest, Page, Ref, TableTree
from arco.kernel.state import EMPTY_TREE, covering
from arco.storage.port import ObjectStore


class Exclusive(msgspec.Struct, frozen=True):
    """What only one version reaches, in the order it is to be deleted: what is below comes before what names it.

    Stage n are the nodes of level n, segments first; the last stage is what the manifest itself names.
    """

    stages: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...] = ()


def direct(manifest: Manifest) -> set[str]:
    """The objects a manifest names itself, trees aside: its commit record and its deltas."""
    named = {delta.path for delta in manifest.deltas if delta.path is not None}
    return named if manifest.commit is None else {*named, manifest.commit.path}


def oldest_landing(manifest: Manifest) -> int:
    """Merges begun at a lower number than this cannot land on the manifest or on any later one.

    A merge lands where the deltas it covered are still the first; they were there when it began.
    """
    if not manifest.deltas:
        return manifest.number
    oldest = manifest.deltas[0]
    if oldest.delta_id[:20].isdecimal():
        return int(oldest.delta_id[:20])
    # A residue's name tells when the merge that left it began; it came into the chain later than that.
    return int(str(oldest.path).rsplit("/", 1)[-1][:20]) + 1


class Reach:
    """Walks trees of one chain."""

    def __init__(self, store: ObjectStore, loader: Loader) -> None:
        self._store = store
        self._loader = loader

    async def exclusive(self, manifest: Manifest, above: Manifest | None, below: Manifest | None) -> Exclusive:
        """What `manifest` reaches and neither of its retained neighbours does.

        Raises `CorruptData` when a neighbour is not whole.
        """
        levels: dict[int, list[str]] = {}
        unreadable: list[str] = []
        for table, tree in manifest.tables.items():
            near = None if above is None else above.tables.get(table)
            far = None if below is None else below.tables.get(table)
            for level, ref in await self._only(tree, near or EMPTY_TREE, unreadable):
                # What was begun at or after a manifest cannot lie in it.
                old = below is not None and (number_in(ref.path) or 0) < below.number
                if not (old and far is not None and await self._holds(far, ref, level)):
                    levels.setdefault(level, []).append(ref.path)
        named = direct(manifest).difference(*(direct(other) for other in (above, below) if other is not None))
        stages = [tuple(levels.get(level, ())) for level in range(max(levels, default=-1) + 1)]
        return Exclusive((*stages, tuple(sorted(named))), tuple(unreadable))

    async def _only(self, tree: TableTree, rival: TableTree, unreadable: list[str]) -> list[tuple[int, Ref]]:
        """What `tree` holds and `rival` does not, with its level; walked in step, so that shared pages stay shut."""
        if tree == rival:
            return []
        mine: dict[int, dict[str, Ref]] = {tree.level: _by_path(tree.refs)}
        theirs: dict[int, dict[str, Ref]] = {rival.level: _by_path(rival.refs)}
        found: list[tuple[int, Ref]] = []
        for level in range(max(tree.level, rival.level), -1, -1):
            own, other = mine.get(level, {}), theirs.get(level, {})
            only = own.keys() - other.keys()
            found.extend((level, own[path]) for path in sorted(only))
            if level == 0 or (not only and tree.level >= level):
                break
            for path in sorted(only):
                mine.setdefault(level - 1, {}).update(await self._children_if_there(own[path], unreadable))
            for path in sorted(other.keys() - own.keys()):
                theirs.setdefault(level - 1, {}).update(_by_path((await self._loader.page(other[path])).refs))
        return found

    async def _holds(self, tree: TableTree, wanted: Ref, level: int) -> bool:
        refs: Sequence[Ref] = tree.refs
        at = tree.level
        while at >= level:
            ref = covering(refs, wanted.min_key)
            if ref is None or at == level:
                return ref is not None and ref.path == wanted.path
            page = await self._loader.page(ref)
            refs, at = page.refs, page.level
        return False

    async def _children_if_there(self, ref: Ref, unreadable: list[str]) -> dict[str, Ref]:
        """The children of a page being given up: one that is gone had its children removed before it."""
        try:
            page: Page = await self._loader.page(ref)
        except CorruptData:
            if await self._store.head(Key(ref.path)) is not None:
                unreadable.append(ref.path)
            return {}
        return _by_path(page.refs)

    async def everything(self, manifests: Iterable[Manifest], table: str) -> set[str]:
        """Every segment and page of a table that the manifests reach; shared pages are opened once."""
        found: set[str] = set()
        for manifest in manifests:
            tree = manifest.tables.get(table)
            if tree is not None:
                await self._walk(tree.refs, tree.level, found)
        return found

    async def _walk(self, refs: Sequence[Ref], level: int, found: set[str]) -> None:
        fresh = [ref for ref in refs if ref.path not in found]
        found.update(ref.path for ref in fresh)
        if level:
            for ref in fresh:
                page = await self._loader.page(ref)
                await self._walk(page.refs, page.level, found)


def _by_path(refs: Sequence[Ref]) -> dict[str, Ref]:
    return {ref.path: ref for ref in refs}
