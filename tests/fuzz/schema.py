"""Schema-driven fuzzing: schemathesis asks a real server everything its OpenAPI document offers, and much it does not.

    python -m tests.fuzz.schema [seconds] [seed]

The oracle: no 5xx, no status, media type, header or body that the document does not tell of. Exit code 0 when nothing
was found; what was found is printed with a command that repeats it.
"""

import subprocess
import sys
from pathlib import Path

from tests.process.servers import Caller, serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
SEED = 7_411


def run(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """One run of schemathesis against a fresh server with every role over memory."""
    with serving(["--port", "0", "--storage", "memory://"]) as server:
        _stand(server.ports["api"])
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            f"http://127.0.0.1:{server.ports['api']}/openapi.json",
            # Until there is orchestration this answers 501 once everything about the request is right, as documented.
            *("--exclude-path-regex", "commitOrchestrationBatch"),
            *("--checks", ",".join(CHECKS), "--warnings", "off", "--request-timeout", "60"),
            *arguments,
        ]
        done = subprocess.run(command, text=True, check=False, capture_output=capture, stdin=subprocess.DEVNULL)
        assert server.process.poll() is None, "the server is still there"
        return done


def _stand(port: int) -> None:
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
            status, told = caller.ask("POST", path, body)
        assert status < 300, (path, told)


def main() -> int:
    """Fuzz for as many seconds as were asked for, with one seed."""
    seconds, seed = (*sys.argv[1:], "600", str(SEED))[:2] if len(sys.argv) != 2 else (sys.argv[1], str(SEED))
    arguments = ["--max-time", seconds, "--seed", seed, "--continue-on-failure", "--max-examples", "200"]
    return run(*arguments).returncode


if __name__ == "__main__":
    sys.exit(main())
