"""What the command line can fail with, the exit code of each, and the two lines a person reads about it."""

from typing import TYPE_CHECKING, Final

from arco.core.errors import ArcoError

if TYPE_CHECKING:
    from arco.clients.api import ApiProblem

OK: Final = 0
PROBLEM: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells count it."""


class CommandProblem(ArcoError):
    """The command could not do what was asked; `advice` says what to do next."""

    exit_code = PROBLEM

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class UsageProblem(CommandProblem):
    """The command line itself is wrong."""

    exit_code = USAGE


class Failure(Exception):
    """A failure in the words of the command line: exit code, what happened, what to do next."""

    def __init__(self, exit_code: int, message: str, advice: str, *, code: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.advice = advice
        self.code = code
        self.request_id: str | None = None


def failure_of(error: Exception) -> Failure | None:
    """How the command line words `error`; None for an error that is a bug of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, CommandProblem):
        code = "USAGE" if error.exit_code == USAGE else "PROBLEM"
        return Failure(error.exit_code, error.message, error.advice, code=code)
    if isinstance(error, ArcoError):
        return _of_client(error)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return Failure(PROBLEM, f"{error.strerror.lower()}{where}", "check the path and its permissions", code="OS")
    return None


def _of_client(error: ArcoError) -> Failure:
    from arco.cli import files  # noqa: PLC0415  # `main` loads this module for `--help` too, which reads no files
    from arco.clients import api  # noqa: PLC0415  # `main` loads this module for `--help` too, which makes no request

    if isinstance(error, api.ServerUnreachable):
        if error.details.get("outcome_unknown"):
            advice = "look before repeating it: arco catalog history"
        else:
            advice = "start one with: arco serve (or name another with --url or ARCO_URL)"
        return Failure(UNREACHABLE, error.message, advice, code="UNREACHABLE")
    if isinstance(error, api.InvalidTarget):
        return Failure(USAGE, error.message, "check --url and ARCO_URL", code="USAGE")
    if isinstance(error, api.ApiProblem):
        failure = Failure(PROBLEM, error.message, _advice(error), code=error.code)
        failure.request_id = error.request_id
        return failure
    if isinstance(error, files.UnreadableFiles):
        return Failure(PROBLEM, error.message, "check --location and --format, or say --columns", code="FILES")
    return Failure(PROBLEM, error.message, "run arco doctor to check this installation", code="PROBLEM")


_ADVICE: Final = {
    400: "check the names and values of the command against its --help",
    401: "set ARCO_TOKEN to a valid token, or use a loopback server in development",
    403: "ask for access, or check --tenant and --workspace",
    404: "see what there is: arco catalog ls",
    409: "see what is there: arco catalog show NAME",
    412: "somebody else changed it meanwhile: look again and repeat the command",
    413: "send less in one request",
    429: "wait a moment and repeat the command",
    501: "this server does not offer that; compare arco version with the server's /version",
}


_ADVICE_BY_WORDS: Final = (
    ("has no logs yet", "a task that writes nothing has none; how it went is in: arco runs RUN"),
    ("run not found", "see what there is: arco runs"),
    (" has no task ", "see the tasks of the run: arco runs RUN"),
    ("only what failed can be retried", "to do it anew, begin a run: arco rerun RUN --task TASK"),
    ("unknown asset keys", "name one that is deployed, or deploy it first: arco deploy assets.py"),
    (" is partitioned by ", "run that one first, with --partition, and this one then without --upstream"),
    ("are partitioned by ", "add --partition NAME=VALUE, for instance --partition date=2025-01-31"),
    ("nothing is deployed", "arco deploy assets.py does; arco dev, too, and says what keeps it from that"),
)
"""What to do about what the api says of runs, by its words: its codes are the contract's and too few."""


def _advice(problem: "ApiProblem") -> str:
    status = problem.status
    if problem.code.casefold() == "outcome_unknown":
        return "look before repeating it: arco catalog history"
    for words, advice in _ADVICE_BY_WORDS:
        if words in problem.message:
            return advice
    if status in _ADVICE:
        return _ADVICE[status]
    if status == 503:
        return "nothing was changed; wait a moment and repeat the command"
    return "look in the server's log for the request id; a change may have been applied: arco catalog history"
