"""The task tokens of a process: read by the api, minted by dispatcher and sweeper, with the same settings."""

from typing import Any, Final

from arco.config.settings import AUTH_DEVELOPMENT, Settings
from arco.config.variables import API
from arco.dispatch.tokens import TaskTokens, TokenSettings
from arco.roles.process import Process, derived_secret

_ISSUER: Final = "arco"
_AUDIENCE: Final = "arco-workers"
TTL_S: Final = 3_600


def task_tokens(settings: Settings, process: Process) -> TaskTokens:
    """The tokens as configured; where all roles run in one process and nothing is, they agree by themselves."""
    secret = _value(settings, "SECRET") or _own_secret(settings, process)
    found = TokenSettings(
        secret=secret,
        issuer=_value(settings, "ISSUER") or _ISSUER,
        audience=_value(settings, "AUDIENCE") or _AUDIENCE,
        previous_secret=settings.value("ARCO_TASK_TOKEN_SECRET_PREVIOUS"),
    )
    return TaskTokens(found, process.clock)


def token_ttl_s(settings: Settings) -> int:
    """How long a token is good."""
    ttl: int = _value(settings, "TTL_SECS") or TTL_S
    return ttl


def _value(settings: Settings, name: str) -> Any:
    names = [f"ARCO_TASK_TOKEN_{name}", f"ARCO_FLOW_TASK_TOKEN_{name}"]
    given = [settings.value(one) for one in (names if settings.role == API else names[::-1])]
    return next((one for one in given if one is not None), None)


def _own_secret(settings: Settings, process: Process) -> str:
    # A developer's server that is started again still knows the workers of before.
    if settings.auth.mode == AUTH_DEVELOPMENT:
        return derived_secret("arco-task-tokens", settings.storage).hex()
    return process.own_secret
