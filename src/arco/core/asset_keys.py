"""Asset keys: one name of a table for planner, workers, catalog and user code (orchestration.md 1.2). Pure."""

import re
from typing import Final

from arco.core.errors import InvalidInput
from arco.core.limits import ASSET_KEY_CHARS_MAX

_SEGMENT: Final = re.compile(r"[a-z][a-z0-9_]*\Z")


def asset_key(text: str) -> str:
    """The canonical `namespace.name` of an asset, from its dot or slash form (1.2). Raises `InvalidInput`."""
    namespace, separator, name = text.partition("/" if "/" in text else ".")
    segments = [namespace, *name.split(".")]
    if len(text) > ASSET_KEY_CHARS_MAX:
        raise InvalidInput(f"{text[:64]!r}... is too long for an asset key: at most {ASSET_KEY_CHARS_MAX} characters")
    if not separator or not all(_SEGMENT.match(segment) for segment in segments):
        raise InvalidInput(f"{text!r} is no asset key: write namespace.name, each part a-z and then a-z, 0-9 or _")
    return ".".join(segments)
