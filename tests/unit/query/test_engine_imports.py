"""The engine is imported when the first query comes, not when the server starts."""

import subprocess
import sys


def test_the_service_and_its_routes_import_no_engine():
    code = (
        "import sys; import arco.query.service, arco.routes.public.query; "
        "print(sorted({'datafusion', 'deltalake', 'pyarrow.dataset'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
