"""Where code comes from: its place in the project, its text as a fingerprint, its commit."""

import ast
import inspect
import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from arco.core.canonical_json import sha256_hex

_GIT_TIMEOUT_S: Final = 10
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")
_NO_GIT: Final = {
    "repository": "",
    "branch": "",
    "commitSha": "",
    "commitMessage": "",
    "author": "",
    "dirty": False,
}


def source_fingerprint(function: Callable[..., Any]) -> str:
    """SHA-256 of what a function does: its parameters and body, whatever its layout, comments and docstring.

    Functions that it calls are not looked at. Empty where there is no source, as in a terminal.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ""
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    node.decorator_list = []
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return sha256_hex(ast.unparse(node).encode())


def place_in(project: Path, file: str) -> str:
    """A file's path within the project with `/`; its name alone when it lies elsewhere."""
    try:
        return Path(file).resolve().relative_to(project.resolve()).as_posix()
    except ValueError:
        return Path(file).name


def git_of(project: Path) -> dict[str, Any]:
    """The manifest's `git`: repository (without credentials), branch, commit, and whether something is changed.

    Empty where there is no git, or no commit yet.
    """
    head = _git(project, "log", "-1", "--format=%H%x00%s%x00%an")
    if head is None or head.count("\0") != 2:
        return dict(_NO_GIT)
    commit, message, author = head.split("\0")
    return {
        "repository": _CREDENTIALS.sub("", _git(project, "config", "--get", "remote.origin.url") or ""),
        "branch": _git(project, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "commitSha": commit,
        "commitMessage": message,
        "author": author,
        "dirty": bool(_git(project, "status", "--porcelain")),
    }


def _git(project: Path, *arguments: str) -> str | None:
    """What git says, or None when it cannot."""
    # Reading must not take locks that somebody's own git waits for.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=_GIT_TIMEOUT_S,
            check=False,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None
