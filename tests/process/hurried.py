"""`arco` with the hours of its retention shortened, so that a short run collects, forgets and expires many times.

    python tests/process/hurried.py serve --role=compactor

No variable goes as low as this: in production a grace must outlive signed URLs. Bounds are set before anything that
reads them is imported; every process of one store must be hurried alike.
"""

import importlib
import sys
from typing import Any, Final

MINUTE_MS: Final = 60_000
GRACE_MS: Final = 4 * MINUTE_MS
"""Twice what a command's deadline and the largest skew take together."""

BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "arco.core.limits": {"GRACE_MIN_MS": GRACE_MS, "SIGNED_URL_TTL_S": 60, "SIGNED_URL_TTL_S_MAX": 60},
    "arco.core.retention": {"_HOUR_MS": 2 * MINUTE_MS, "_DAY_MS": 48 * MINUTE_MS},
    "arco.kernel.antientropy": {"SETTLED_MS": GRACE_MS},
}
API_BOUNDS: Final[dict[str, dict[str, Any]]] = {"arco.roles.keeping": {"_DAY_MS": 5 * MINUTE_MS}}
"""How long audit events and queries stay at least. A compactor does not import the api's rooms."""


def hurry(bounds: dict[str, dict[str, Any]]) -> None:
    """Set bounds by module and name. Raises `AttributeError` for one that is not there any more."""
    for module, values in bounds.items():
        loaded = importlib.import_module(module)
        for name, value in values.items():
            getattr(loaded, name)
            setattr(loaded, name, value)


if __name__ == "__main__":
    from arco.roles.memory import settle_memory

    settle_memory()  # as `arco serve` does before it imports anything
    hurry(BOUNDS)
    if "--role=compactor" not in sys.argv:
        hurry(API_BOUNDS)
    from arco.cli.main import main

    sys.exit(main())
