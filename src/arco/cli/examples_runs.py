"""Examples of the commands of orchestration, shown by their `--help`."""

from typing import Final

INIT: Final = """\
examples:
  arco init                                 here
  arco init etl
  arco init flights --example flights       the pipeline of 'arco demo', with its data

next:
  arco dev
"""

DEV: Final = """\
Starts a server and a worker, deploys the assets of this folder, and deploys them again when files change.

examples:
  arco dev                                  the assets of assets.py
  arco dev etl/assets --port 9000
  arco dev --catalog sales                  tables are sales.NAMESPACE.ASSET

next, in another terminal:
  arco run NAMESPACE.ASSET --upstream
"""

DEPLOY: Final = """\
Deploying changes what new runs are planned from; runs under way go on with what they were planned from.

examples:
  arco deploy assets.py
  arco deploy etl.assets etl.marts

next:
  arco run NAMESPACE.ASSET --upstream
"""

PLAN: Final = """\
examples:
  arco plan analytics.daily_sales --upstream
  arco plan raw.events --partition date=2025-01-31 --json
"""

RUN: Final = """\
The exit code is 0 when the run succeeded, 1 when it failed or was cancelled.

examples:
  arco run analytics.daily_sales --upstream
  arco run raw.events --partition date=2025-01-31 --run-key raw-2025-01-31
  arco run raw.events --downstream --no-wait
"""

RUNS: Final = """\
examples:
  arco runs                                 the newest 20 runs
  arco runs --state failed
  arco runs 01JRUN00000000000000000000      one run: its tasks, and what each waits for
  arco run show 01JRUN00000000000000000000  the same

next:
  arco why RUN TASK                         all there is to say about one task
"""

LOGS: Final = """\
examples:
  arco logs 01JRUN00000000000000000000
  arco logs 01JRUN00000000000000000000 analytics.daily_sales
  arco logs 01JRUN00000000000000000000 --follow
"""

CANCEL: Final = """\
What no worker has begun is over at once; running tasks are told with their next heartbeat.

examples:
  arco cancel 01JRUN00000000000000000000 --reason "wrong input"
"""

RERUN: Final = """\
examples:
  arco rerun 01JRUN00000000000000000000                                what did not succeed
  arco rerun 01JRUN00000000000000000000 --task raw.events --downstream
"""

RETRY: Final = """\
Tries a failed task once more; one that waits for its next attempt is tried at once.

examples:
  arco retry 01JRUN00000000000000000000 analytics.daily_sales
"""

WHY: Final = """\
Why it is in the plan, what it waits for and who is before it, why it was skipped, why it was tried again.

examples:
  arco why 01JRUN00000000000000000000 analytics.daily_sales
  arco why 01JRUN00000000000000000000 raw.events --json
"""
