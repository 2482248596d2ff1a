"""How long superseded things stay: the contract's retention policy, its presets and its rules (catalog.md 2.12).

Pure. `delayHours` is how long every version stays readable after it was passed, `ledgerRetentionHours` how long one
version a minute (and the ledger, and the memory of what was decided), `maxAgeDays` how long one a day.
"""

from typing import Final

import msgspec

from arco.core.limits import GRACE_MIN_MS

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class InvalidPolicy(Exception):
    """A policy that breaks a rule of its own; `message` says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is kept and for how long; fields are the contract's."""

    keep_snapshots: int = 10
    delay_hours: int = 24
    ledger_retention_hours: int = 48
    max_age_days: int = 90

    def horizons(self) -> "Horizons":
        """The policy in milliseconds; the grace is never shorter than what readers and writers rely on."""
        grace_ms = max(self.delay_hours * _HOUR_MS, GRACE_MIN_MS)
        return Horizons(
            keep_newest=self.keep_snapshots,
            grace_ms=grace_ms,
            fine_ms=self.ledger_retention_hours * _HOUR_MS,
            coarse_ms=self.max_age_days * _DAY_MS,
            ledger_ms=max(self.ledger_retention_hours * _HOUR_MS, grace_ms),
        )


class Horizons(msgspec.Struct, frozen=True, kw_only=True):
    """How long what stays, counted from when it was superseded.

    Every version for `grace_ms`; then one each `fine_period_ms` until `fine_ms`, one each `coarse_period_ms` until
    `coarse_ms`; always the `keep_newest` newest. A decided ledger object and the row that says so for `ledger_ms`.
    """

    keep_newest: int
    grace_ms: int
    fine_ms: int
    coarse_ms: int
    ledger_ms: int
    fine_period_ms: int = 60_000
    coarse_period_ms: int = _DAY_MS


PRESETS: Final[dict[str, RetentionPolicy]] = {
    "default": RetentionPolicy(),
    "development": RetentionPolicy(keep_snapshots=3, delay_hours=1, ledger_retention_hours=2, max_age_days=7),
    "aggressive": RetentionPolicy(keep_snapshots=5, delay_hours=12, ledger_retention_hours=24, max_age_days=30),
    "conservative": RetentionPolicy(keep_snapshots=30, delay_hours=48, ledger_retention_hours=168, max_age_days=365),
}


def checked_policy(policy: RetentionPolicy) -> RetentionPolicy:
    """The policy, if it keeps its own rules. Raises `InvalidPolicy`."""
    for field, value in msgspec.to_builtins(policy).items():
        if value < 1:
            raise InvalidPolicy(f"{field} must be at least 1")
    if policy.ledger_retention_hours > policy.max_age_days * 24:
        raise InvalidPolicy("ledgerRetentionHours must not exceed maxAgeDays x 24")
    return policy


def parse_policy(text: str) -> RetentionPolicy:
    """A preset by name, or a policy as a JSON object whose absent fields are the default's. Raises `InvalidPolicy`."""
    if text in PRESETS:
        return PRESETS[text]
    if not text.lstrip().startswith("{"):
        raise InvalidPolicy(f"must be one of {', '.join(PRESETS)} or a JSON object")
    try:
        policy = msgspec.json.decode(text, type=RetentionPolicy)
    except msgspec.MsgspecError as error:
        raise InvalidPolicy(str(error)) from error
    return checked_policy(policy)
