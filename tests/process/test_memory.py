"""Servers take memory from allocators that give it back."""

import subprocess
import sys

import pytest
from tests.process.servers import environment

_SERVED = """
import argparse
from arco.cli import server
code = server.serve(argparse.Namespace(role="api", storage=None, host=None, port=None), None)
import pyarrow
print(code, pyarrow.default_memory_pool().backend_name)
"""


@pytest.mark.parametrize(
    ("given", "backend"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")]
)
def test_a_server_s_arrow_has_no_heap_of_its_own_unless_somebody_wants_it(given, backend):
    done = subprocess.run(
        [sys.executable, "-c", _SERVED], env=environment(given), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["78", backend]  # nothing is configured
