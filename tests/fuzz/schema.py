"""Schema-driven fuzzing: schemathesis asks a real server everything its OpenAPI document offers, and much it does not.

    python -m tests.fuzz.schema [seconds] [seed] [open|token|nobody]

The server asks for no credentials, or for tokens, which requests then carry or not. The oracle: no 5xx, no status, no
media type, no header and no body that the document does not tell of. Exit code 0 when nothing was found; what was found
is printed with a command that repeats it.
"""

import subprocess
import sys
from pathlib import Path

from tests.process.servers import Caller, serving
from tests.security.issuers import AUDIENCE, ISSUER, SECRET, claims, now_s, signed

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
SEED = 7_411


DOORS = ("open", "token", "nobody")
TOKENS = {
    "ARCO_JWT_SECRET": SECRET,
    "ARCO_JWT_ISSUER": ISSUER,
    "ARCO_JWT_AUDIENCE": AUDIENCE,
    "ARCO_RATE_DEFAULT_PER_MIN": "1000000",
    "ARCO_RATE_BURST": "1000000",
}


def run(*arguments: str, capture: bool = False, door: str = "open") -> subprocess.CompletedProcess[str]:
    """One run of schemathesis against a fresh server with every role over memory."""
    token = f"Bearer {signed(claims(exp=now_s() + 86_400))}" if door != "open" else ""
    with serving(["--port", "0", "--storage", "memory://"], TOKENS if token else {}) as server:
        _stand(server.ports["api"], token)
        if door == "token":
            arguments = (*arguments, "--header", f"Authorization: {token}")
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            f"http://127.0.0.1:{server.ports['api']}/openapi.json",
            *("--checks", ",".join(CHECKS), "--warnings", "off", "--request-timeout", "60"),
            *arguments,
        ]
        done = subprocess.run(command, text=True, check=False, capture_output=capture, stdin=subprocess.DEVNULL)
        assert server.process.poll() is None, "the server is still there"
        return done


def _stand(port: int, token: str) -> None:
    """Objects under the names that are tried most often, so that not everything is 404."""
    columns = [{"name": "0", "data_type": "BIGINT"}]
    for path, body in (
        ("/catalogs", {"name": "0"}),
        ("/catalogs/0/schemas", {"name": "0"}),
        ("/catalogs/0/schemas/0/tables", {"name": "0", "columns": columns, "format": "delta"}),
        ("/namespaces", {"name": "0"}),
        ("/namespaces/0/tables", {"name": "0", "columns": columns, "location": "0"}),
        ("/lineage/edges", {"edges": [{"source_id": "0", "target_id": "1", "edge_type": "0"}]}),
    ):
        with Caller(port) as caller:
            status, told = caller.ask("POST", path, body, {"Authorization": token} if token else {})
        assert status < 300, (path, told)


def main() -> int:
    """Fuzz for as many seconds as were asked for, with one seed, before one kind of door."""
    given = sys.argv[1:]
    seconds, seed, door = (*given, *("600", str(SEED), "open")[len(given) :])
    assert door in DOORS, f"the door is one of {', '.join(DOORS)}"
    arguments = ["--max-time", seconds, "--seed", seed, "--continue-on-failure", "--max-examples", "200"]
    return run(*arguments, door=door).returncode


if __name__ == "__main__":
    sys.exit(main())
