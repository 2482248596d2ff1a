"""What is wrong with a configuration: all of it at once, in the two forms of operations.md 1.1."""

import json
from typing import Any, Final

import msgspec

EXIT_CODE: Final = 78
"""The exit code of a process whose configuration is invalid (EX_CONFIG)."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong: the variable, the words that follow its name, and a stable code."""

    variable: str
    message: str
    code: str = "E-INVALID"


class Problems(msgspec.Struct, frozen=True):
    """Everything wrong with the configuration of a role, sorted by variable."""

    role: str
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """The report for people: one header and one line for each problem, each with its line end."""
        count = len(self.problems)
        header = f"arco: configuration invalid for role={self.role}: {count} problem{'' if count == 1 else 's'}"
        return "\n".join([header, *(f"  {each.variable}: {each.message}" for each in self.problems), ""])

    def json(self) -> str:
        """The same as one JSON object."""
        told: dict[str, Any] = {"event": "config_invalid", "role": self.role}
        told["problems"] = [
            {"var": each.variable, "code": each.code, "message": each.message} for each in self.problems
        ]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
