"""`python -m benchmarks.far DELAY_MS`: an arco server in memory whose storage operations take so much longer each."""

import sys
from typing import Any

from arco.roles import serve
from arco.roles.process import Process, make_process
from arco.storage.delayed import DelayedStore

_PORTS = (
    *("ARCO_HTTP_PORT", "ARCO_COMPACTOR_PORT", "ARCO_FLOW_COMPACTOR_PORT", "ARCO_FLOW_DISPATCHER_PORT"),
    "ARCO_FLOW_SWEEPER_PORT",
)


def main(delay_ms: int) -> int:
    """Serve all roles on free ports until told to stop."""

    def far_away(storage: str, **more: Any) -> Process:
        process = make_process(storage, **more)
        process.store = DelayedStore(process.store, process.clock, delay_ms)
        return process

    vars(serve)["make_process"] = far_away
    return serve.run(None, {**dict.fromkeys(_PORTS, "0"), "ARCO_STORAGE_BUCKET": "memory://"})


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
