"""From an environment to typed values: trimming, `_FILE` twins, parsing, unknown names (operations.md 1.1).

Pure: whoever calls says how a file is read.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from arco.config.kinds import BadValue
from arco.config.problems import Problem
from arco.config.table import FILE_SUFFIX, known_names
from arco.config.variables import Variable

ReadFile = Callable[[str], str]
"""The text of a file by its path. Raises `OSError` or `ValueError`."""

_SERVICE_LINK: Final = re.compile(r"ARCO_.*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_.*)\Z")
_PREFIX: Final = "ARCO_"


class Draft:
    """Values on their way to settings, and the problems met so far."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.values: dict[str, Any] = {}
        self.given: set[str] = set()
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def __getitem__(self, name: str) -> Any:
        """The value of a variable; None when it is unset, unreadable or not this role's."""
        return self.values.get(name)

    def refuse(self, variable: str, message: str, code: str = "E-INVALID") -> None:
        """Record a problem."""
        self.problems.append(Problem(variable, message, code))

    def fails(self, variable: str) -> bool:
        """True when this variable already has a problem of its own."""
        return any(problem.variable == variable for problem in self.problems)


def gather(
    draft: Draft, variables: tuple[Variable, ...], environ: Mapping[str, str], read_file: ReadFile | None
) -> None:
    """Fill `draft` with the values the environment gives these variables, and with defaults."""
    for variable in variables:
        text = _text(draft, variable, environ, read_file)
        if text:
            draft.given.add(variable.name)
        text = text or variable.default
        if not text:
            continue
        try:
            draft.values[variable.name] = variable.parse(text)
        except BadValue as bad:
            draft.refuse(variable.name, bad.message, bad.code)


def check_names(draft: Draft, environ: Mapping[str, str], *, strict: bool) -> None:
    """Tell about `ARCO_*` names that nobody reads: a problem when `strict`, else a warning."""
    known = known_names()
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in known or _SERVICE_LINK.match(name) or not environ[name].strip():
            continue
        message = _unknown(name, known)
        if strict:
            draft.refuse(name, message, "E-UNKNOWN")
        else:
            draft.warnings.append(f"{name}: {message}")


def _unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return f"unknown variable; did you mean {near[0]}?" if near else "unknown variable"


def _text(draft: Draft, variable: Variable, environ: Mapping[str, str], read_file: ReadFile | None) -> str:
    text = environ.get(variable.name, "").strip()
    twin = variable.name + FILE_SUFFIX
    path = environ.get(twin, "").strip() if variable.secret else ""
    if not path:
        return text
    if text:
        draft.refuse(variable.name, f"set either {variable.name} or {twin}, not both", "E-BOTH")
        return text
    return next(file_text(draft, twin, path, read_file), "")


def file_text(draft: Draft, variable: str, path: str, read_file: ReadFile | None) -> Iterator[str]:
    """The content of a file, trailing line ends stripped; nothing, and a problem, when it cannot be had."""
    try:
        if read_file is None:
            raise ValueError("files are not read here")
        content = read_file(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        draft.refuse(variable, f"the file cannot be read: {reason}", "E-FILE")
        return
    if not content.strip():
        draft.refuse(variable, "the file is empty", "E-FILE")
        return
    yield content.rstrip("\r\n")
