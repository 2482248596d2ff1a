"""What a variable is, and the one table of all of them; documentation and checks are made from it."""

from typing import Final

import msgspec

from arco.config.kinds import Parse, text

API: Final = "api"
COMPACTOR: Final = "compactor"
FLOW_COMPACTOR: Final = "flow-compactor"
DISPATCHER: Final = "dispatcher"
SWEEPER: Final = "sweeper"
METRICS: Final = "metrics"
"""Not a role: the api's second port, `ARCO_METRICS_PORT`."""
ROLES: Final = (API, COMPACTOR, FLOW_COMPACTOR, DISPATCHER, SWEEPER)
WORKER: Final = "worker"
"""Not a role either: the process that runs user code."""

ALL: Final = "all"
"""The local mode: every role in one process, nothing required."""

DEV: Final = "dev"
"""The environment in which shortcuts are allowed."""

ALWAYS: Final = "always"
OUTSIDE_DEV: Final = "outside dev"


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One environment variable. `default` is text as one would write it; `rule` tells people what `parse` checks."""

    name: str
    roles: tuple[str, ...]
    doc: str
    parse: Parse = text
    rule: str = ""
    default: str = ""
    required: str = ""
    """`always`, `outside dev` (staging and prod), or empty."""
    secret: bool = False
    """Never shown, and may come from the file that the `_FILE` twin names."""
    source: str = ""
    """The section of the contract it comes from; empty for our own."""
