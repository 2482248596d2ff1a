"""Numbers that events may bring: what no column holds must fail where it costs one unit, and not a commit. Pure."""

from typing import Annotated, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""What an unsigned column of 32 bits holds: attempts, seconds, versions, sizes of chunks."""

ATTEMPTS_MAX: Final = 100_000
"""Attempts at one task: more than anybody has patience for, and few enough to count."""

AttemptNumber = Annotated[int, msgspec.Meta(ge=0, le=ATTEMPTS_MAX)]
"""Which attempt at a task; 0 is none yet."""

Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Rows, bytes, and versions of tables."""

Priority = Annotated[int, msgspec.Meta(ge=-1_000, le=1_000)]
"""Beyond it the order of the agenda would not fit its column."""
