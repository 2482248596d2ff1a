"""`python -m arco` is the `arco` command."""

import sys

from arco.cli.main import main

sys.exit(main())
