"""From modules, packages and files to the assets in them, checked together.

Importing runs the user's code: what it raises is told as a `DefinitionError` with the target and its own place.
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from arco.sdk.assets import Asset
from arco.sdk.checks import AssetCheck
from arco.sdk.errors import DefinitionError, meant
from arco.sdk.resources import ResourceDefinition
from arco.sdk.schedules import Schedule
from arco.sdk.traces import cause_of


class AssetSet:
    """Assets by key in the order of their keys, with the project's checks, resources and schedules.

    Raises `DefinitionError` naming everything that does not fit together: two assets of one key, an upstream that is
    none, a circle, a check of an unknown asset.
    """

    def __init__(
        self,
        assets: Sequence[Asset],
        checks: Sequence[AssetCheck] = (),
        resources: Sequence[ResourceDefinition] = (),
        schedules: Sequence[Schedule] = (),
    ) -> None:
        self.assets: Mapping[str, Asset] = {one.key: one for one in sorted(assets, key=lambda one: one.key)}
        self.resources: Mapping[str, ResourceDefinition] = {one.name: one for one in resources}
        self.schedules: Sequence[Schedule] = sorted(schedules, key=lambda one: one.id)
        self._checks: dict[str, list[AssetCheck]] = {}
        for check in sorted(checks, key=lambda one: (one.asset, one.name)):
            self._checks.setdefault(check.asset, []).append(check)
        problems = [*self._repeated(assets, resources), *self._loose()]
        if problems:
            raise DefinitionError("\n".join(problems))

    def __getitem__(self, key: str) -> Asset:
        return self.assets[key]

    def __contains__(self, key: object) -> bool:
        return key in self.assets

    def __iter__(self) -> Iterator[Asset]:
        return iter(self.assets.values())

    def __len__(self) -> int:
        return len(self.assets)

    def checks_of(self, key: str) -> Sequence[AssetCheck]:
        """The checks of an asset that are functions, in the order of their names."""
        return self._checks.get(key, ())

    def in_order(self) -> list[Asset]:
        """The assets, each after everything it reads; otherwise in the order of their keys."""
        sorter = TopologicalSorter({one.key: [up for up in one.upstreams if up in self.assets] for one in self})
        sorter.prepare()
        found: list[Asset] = []
        while ready := sorted(sorter.get_ready()):
            found.extend(self.assets[key] for key in ready)
            sorter.done(*ready)
        return found

    def _repeated(self, assets: Sequence[Asset], resources: Sequence[ResourceDefinition]) -> Iterator[str]:
        for asset in assets:
            if (kept := self.assets[asset.key]) is not asset:
                yield f'{asset.place}: {asset.key} is defined at {kept.place} too; give one another name="..."'
        for one in resources:
            if (other := self.resources[one.name]) is not one:
                yield f"{one.file}:{one.line}: the resource {one.name} is defined at {other.file}:{other.line} too"
        for before, schedule in pairwise(self.schedules):
            if before.id == schedule.id:
                places = f"{before.file}:{before.line} and {schedule.file}:{schedule.line}"
                yield f"{places}: two schedules are called {schedule.id}"
        for key, checks in self._checks.items():
            names = [one.name for one in checks]
            if key in self.assets:
                names += [one.name for one in self.assets[key].checks]
            for check in checks:
                if names.count(check.name) > 1:
                    yield f'{check.file}:{check.line}: {key} has a check {check.name} already; say name="..."'

    def _loose(self) -> Iterator[str]:
        known = list(self.assets)
        for asset in self:
            for upstream in asset.upstreams:
                if upstream not in self.assets:
                    readers = [one.name for one in asset.parameters if one.role == "input" and one.source == upstream]
                    how = f"parameter {readers[0]} reads" if readers else "deps has"
                    yield f"{asset.place}: {how} {upstream}, which is no asset here{meant(upstream, known)}{_HINT}"
        for key, checks in self._checks.items():
            if key not in self.assets:
                check = checks[0]
                yield f"{check.file}:{check.line}: {check.name} checks {key}, which is no asset here{meant(key, known)}"
        for schedule in self.schedules:
            for key in schedule.assets:
                if key not in self.assets:
                    where = f"{schedule.file}:{schedule.line}: schedule {schedule.id}"
                    yield f"{where} makes {key}, which is no asset here{meant(key, known)}"
        try:
            self.in_order()
        except CycleError as error:
            yield f"assets depend on each other in a circle: {' -> '.join(error.args[1])}"


_HINT = '; name another one with AssetIn("namespace.name"), or give the parameter a default'


def load_assets(targets: Sequence[str]) -> AssetSet:
    """The assets of modules, packages (with everything below) and files. Raises `DefinitionError`."""
    modules: dict[str, ModuleType] = {}
    for target in targets:
        for module in _modules(target):
            modules[module.__name__] = module
    found: dict[int, Any] = {}
    for name in sorted(modules):
        for value in vars(modules[name]).values():
            if isinstance(value, Asset | AssetCheck | ResourceDefinition | Schedule):
                found[id(value)] = value  # one that several modules import is one
    values = list(found.values())
    assets = [one for one in values if isinstance(one, Asset)]
    if not assets:
        raise DefinitionError(f"no asset in {', '.join(targets) or 'no module'}: put @asset above a function")
    return AssetSet(
        assets,
        [one for one in values if isinstance(one, AssetCheck)],
        [one for one in values if isinstance(one, ResourceDefinition)],
        [one for one in values if isinstance(one, Schedule)],
    )


def _modules(target: str) -> Iterator[ModuleType]:
    path = Path(target)
    if target.endswith(".py") or "/" in target or "\\" in target or path.is_dir():
        yield from _of_path(path)
        return
    module = _imported(target, target)
    yield module
    yield from _below(module)


def _of_path(path: Path) -> Iterator[ModuleType]:
    """A file, or a folder: a package is imported as one, any other folder as its files and packages."""
    path = path.resolve()
    if not path.exists():
        raise DefinitionError(f"{path} is not there: name a module, a package, a .py file or a folder of them")
    if path.is_file():
        yield _of_file(path)
    elif (path / "__init__.py").exists():
        yield from _of_package(path)
    else:
        for one in sorted(path.iterdir()):
            if (one.is_dir() and (one / "__init__.py").exists()) or one.suffix == ".py":
                yield from _of_path(one)


def _of_package(path: Path) -> Iterator[ModuleType]:
    package = _dotted(path)
    _on_path(path.parents[package.count(".")])
    module = _imported(package, str(path))
    yield module
    yield from _below(module)


def _of_file(path: Path) -> ModuleType:
    """The module of a file, under the name by which its neighbours import it."""
    if path.name == "__init__.py":
        return next(_of_package(path.parent))
    inside = (path.parent / "__init__.py").exists()
    name = f"{_dotted(path.parent)}.{path.stem}" if inside else path.stem
    _on_path(path.parents[name.count(".")])
    loaded = sys.modules.get(name)
    if loaded is not None and _is_of(loaded, path):
        return loaded
    if loaded is None:
        found = importlib.util.find_spec(name.partition(".")[0])
        if inside or (found is not None and found.origin is not None and Path(found.origin).resolve() == path):
            return _imported(name, str(path))
    # Another module has this name already (a file called `json.py`, say): this one gets a name nobody imports.
    return _executed(path, f"{name}__{abs(hash(str(path))):x}" if loaded is not None else name)


def _executed(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # user code may raise anything; a half-made module is not kept
        del sys.modules[name]
        raise _told(str(path), error) from error
    return module


def _below(module: ModuleType) -> Iterator[ModuleType]:
    """Every module of a package, however deep."""
    paths = getattr(module, "__path__", None)
    if paths is None:
        return
    for info in sorted(pkgutil.iter_modules(paths), key=lambda one: one.name):
        if info.name == "__main__":
            continue
        child = _imported(f"{module.__name__}.{info.name}", f"{module.__name__}.{info.name}")
        yield child
        yield from _below(child)


def _imported(name: str, target: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except BaseException as error:  # user code may raise anything while it is imported
        raise _told(target, error) from error


def _told(target: str, error: BaseException) -> DefinitionError:
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, DefinitionError):
        return error
    return DefinitionError(f"{target} cannot be imported: {cause_of(error)}")


def _dotted(folder: Path) -> str:
    names = [folder.name]
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
        names.append(folder.name)
    return ".".join(reversed(names))


def _on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _is_of(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path
