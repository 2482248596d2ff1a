"""Paths on this machine and what the server calls them: storage URLs, and locations of registered tables."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

STORAGE_DEFAULT: Final = "file://./.arco"
"""Where `arco serve` keeps everything when nothing else is said."""

_LOCAL: Final = "file://"
_IN_SCOPE: Final = re.compile(r"tenant=[a-z0-9_-]+/workspace=[a-z0-9_-]+/.+")


def storage_url(given: str | None, environ: Mapping[str, str]) -> str:
    """The storage URL of a `--storage` flag or `ARCO_STORAGE_BUCKET`; a flag without a scheme is a directory."""
    if given and "://" not in given:
        return file_url(Path(given).expanduser().absolute())
    url = given or environ.get("ARCO_STORAGE_BUCKET", "").strip() or STORAGE_DEFAULT
    root = local_root(url)
    return url if root is None else file_url(root)


def file_url(path: Path) -> str:
    """The `file://` URL of an absolute path."""
    return _LOCAL + quote(path.as_posix())


def local_root(url: str) -> Path | None:
    """The directory of a `file://` URL, absolute; None for every other store."""
    return Path(unquote(url.removeprefix(_LOCAL))).absolute() if url.startswith(_LOCAL) else None


def local_path(location: str, environ: Mapping[str, str], tenant: str | None, workspace: str | None) -> Path | None:
    """The files of a location when they are on this machine: as given, or below the local workspace."""
    given = Path(location.removeprefix(_LOCAL)).expanduser()
    if "://" not in location.removeprefix(_LOCAL) and given.exists():
        return given
    directory = local_workspace(environ, tenant, workspace)
    if directory is None or "://" in location:
        return None
    inside = directory / location.lstrip("/")
    return inside if inside.exists() else None


def local_workspace(environ: Mapping[str, str], tenant: str | None, workspace: str | None) -> Path | None:
    """The directory of the workspace when the storage that this machine is set up for is a local one."""
    root = local_root(storage_url(None, environ))
    if root is None:
        return None
    return workspace_directory(
        root,
        tenant or environ.get("ARCO_TENANT", "").strip() or "local",
        workspace or environ.get("ARCO_WORKSPACE", "").strip() or "default",
    )


def workspace_directory(root: Path, tenant: str, workspace: str) -> Path:
    """Where the objects of one workspace lie in a local store."""
    return root / f"tenant={tenant}" / f"workspace={workspace}"


def registered_location(location: str, path: Path | None) -> str:
    """What to register for a location whose files are at `path`.

    A path of this machine becomes absolute, or relative to the storage when it lies in a workspace; everything
    else is registered as it was said.
    """
    if path is None or not Path(location.removeprefix(_LOCAL)).expanduser().exists():
        return location
    absolute = os.path.abspath(path)
    inside = _IN_SCOPE.search(Path(absolute).as_posix())
    return inside.group() if inside else absolute


def is_in_workspace(location: str) -> bool:
    """True for a location that the server itself can read: no URL, no absolute path."""
    return "://" not in location and not location.startswith("/")
