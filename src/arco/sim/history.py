"""What clients asked and what they were told, with the virtual seconds of both: what the checkers judge."""

from typing import Any

import msgspec

from arco.core.scope import Scope


class Asked(msgspec.Struct):
    """One operation of one client. `returned_s` None: it was given up, and may or may not have happened.

    `token` is what an append appends to the list `name` (and to `argument`, for `both`). `result` of a write is
    `accepted` or the code of its refusal; of a `read`, the tokens of the list and the set of all names.
    """

    client: str
    scope: Scope
    kind: str
    name: str
    argument: str
    token: str
    invoked_s: float
    returned_s: float | None = None
    result: Any = None
    unit_ids: list[str] = []


class History:
    """All operations of a schedule, in the order in which they were invoked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def ask(self, asked: Asked) -> Asked:
        """Note an operation as it is invoked."""
        self.asked.append(asked)
        return asked
