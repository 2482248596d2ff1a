"""Schedules: when which assets are made. They travel in the manifest (orchestration.md 9.1)."""

import sys
from collections.abc import Sequence
from typing import Any, Final

from arco.sdk.errors import DefinitionError
from arco.sdk.settings import NAME_CHARS_MAX, key_of

_CRON_FIELDS: Final = (5, 6)


class Schedule:
    """Make these assets whenever `cron` says so: five fields, or six with seconds first, in an IANA time zone.

    Raises `DefinitionError`.
    """

    def __init__(self, id: str, *, cron: str, assets: Sequence[Any], timezone: str = "UTC") -> None:
        caller = sys._getframe(1)
        self.file, self.line = caller.f_code.co_filename, caller.f_lineno
        self.id = id
        self.cron = " ".join(cron.split())
        self.timezone = timezone
        try:
            self.assets = tuple(dict.fromkeys(key_of(one) for one in assets))
            self._check()
        except DefinitionError as error:
            raise DefinitionError(f"{self.file}:{self.line}: schedule {id!r}: {error.message}") from None

    def __repr__(self) -> str:
        return f"Schedule({self.id!r}, cron={self.cron!r})"

    def _check(self) -> None:
        if not 0 < len(self.id) <= NAME_CHARS_MAX:
            raise DefinitionError(f"id: 1 to {NAME_CHARS_MAX} characters")
        if len(self.cron.split()) not in _CRON_FIELDS:
            raise DefinitionError('cron needs 5 fields, or 6 with seconds first, such as "0 3 * * *"')
        if not self.assets:
            raise DefinitionError("assets is empty: name at least one")
        from zoneinfo import available_timezones  # noqa: PLC0415  # reads the system's list of zones

        if self.timezone not in available_timezones():
            raise DefinitionError(f'timezone: {self.timezone} is no IANA time zone, such as "Europe/Vienna"')
