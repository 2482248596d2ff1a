"""Variables for people: the table as Markdown, and a configuration without its secrets.

`docs/reference/variables.md` is made by `variables_markdown` and fails a test when stale.
"""

import hmac
from collections.abc import Sequence
from typing import Any, Final

from arco.config.kinds import SECRET_BYTES_MIN, shown
from arco.config.settings import Settings
from arco.config.table import VARIABLES, variables_of
from arco.config.table_worker import WORKER_VARIABLES
from arco.config.variables import ROLES, Variable

_HEADER: Final = """\
# Environment variables

Values are trimmed; an empty value counts as unset. Booleans are true/1/yes/y or false/0/no/n in any case. A secret may
come from a file instead: set `NAME_FILE` to its path. `arco serve` without `--role` runs every role in one process and
requires none of these.
"""


def variables_markdown(variables: Sequence[Variable] = (*VARIABLES, *WORKER_VARIABLES)) -> str:
    """Every variable in one table for each set of roles, in the order they are declared."""
    groups: dict[tuple[str, ...], list[Variable]] = {}
    for variable in variables:
        groups.setdefault(variable.roles, []).append(variable)
    sections = [_section(roles, groups[roles]) for roles in groups]
    return "\n".join([_HEADER, *sections])


def settings_lines(settings: Settings) -> list[tuple[str, str]]:
    """Every variable that has a value, with the value; of secrets only that they are set, and a fingerprint."""
    lines = []
    for variable in variables_of(settings.role):
        value = settings.value(variable.name)
        if value is not None:
            lines.append((variable.name, secret_shown(value) if variable.secret else _plain(value)))
    return lines


def secret_shown(value: str | bytes) -> str:
    """`set`, a length class and, for a real secret, a fingerprint that two machines can compare (operations.md 1.1)."""
    secret = value.encode() if isinstance(value, str) else value
    if len(secret) < SECRET_BYTES_MIN:
        return f"set, under {SECRET_BYTES_MIN} bytes"
    return f"set, {SECRET_BYTES_MIN}+ bytes, fingerprint {hmac.digest(secret, _LABEL, 'sha256').hex()[:12]}"


_LABEL: Final = b"arco-config-fp"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return shown(str(value).partition("\n")[0])


def _section(roles: tuple[str, ...], variables: list[Variable]) -> str:
    title = "Every role" if roles == ROLES else ", ".join(roles)
    rows = "\n".join(_row(variable) for variable in variables)
    return f"## {title}\n\n| variable | default | rule | what it does | source |\n|---|---|---|---|---|\n{rows}\n"


def _row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default else ""
    if variable.required:
        default = "required" if variable.required == "always" else f"required {variable.required}"
    name = f"`{variable.name}`" + (" (secret)" if variable.secret else "")
    cells = (name, default, variable.rule, variable.doc, variable.source or "arco")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
