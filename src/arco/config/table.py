"""All variables of all roles, in the order documentation shows them."""

from typing import Final

from arco.config.table_api import API_VARIABLES
from arco.config.table_dispatch import DISPATCH_VARIABLES
from arco.config.table_facades import FACADE_VARIABLES
from arco.config.table_roles import ROLE_VARIABLES
from arco.config.table_shared import SHARED
from arco.config.table_worker import WORKER_VARIABLES
from arco.config.variables import ALL, ROLES, Variable

VARIABLES: Final = (*SHARED, *API_VARIABLES, *FACADE_VARIABLES, *ROLE_VARIABLES, *DISPATCH_VARIABLES)

CLIENT_NAMES: Final = frozenset({"ARCO_URL", "ARCO_TOKEN", "ARCO_TENANT", "ARCO_WORKSPACE"})
"""What the command line reads; a server started from the same shell must not complain about them."""

FILE_SUFFIX: Final = "_FILE"


def variables_of(role: str) -> tuple[Variable, ...]:
    """The variables that a role reads; `all` reads everybody's."""
    if role == ALL:
        return VARIABLES
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; one of {', '.join(ROLES)}")
    return tuple(variable for variable in VARIABLES if role in variable.roles)


def known_names() -> frozenset[str]:
    """Every name that means something to some role or to the command line."""
    variables = (*VARIABLES, *WORKER_VARIABLES)
    names = {variable.name for variable in variables}
    twins = {variable.name + FILE_SUFFIX for variable in variables if variable.secret}
    return frozenset(names | twins | CLIENT_NAMES)
