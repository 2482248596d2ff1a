"""A worker for arco in Python's standard library alone, written from the protocol (docs/workers.md).

    ARCO_FLOW_API_URL=http://127.0.0.1:8080 ARCO_FLOW_TENANT_ID=local ARCO_FLOW_WORKSPACE_ID=default \
    ARCO_FLOW_WORKER_DISPATCH_SECRET=... PORT=8090 python worker.py

Each task runs in a process of its own, so that it can be killed. Put your functions where `hello` is.
"""

import hmac
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = os.environ.get("ARCO_FLOW_API_URL", "https://api.arco.dev").rstrip("/")
API_KEY = os.environ.get("ARCO_FLOW_API_KEY", "")
SECRET = os.environ.get("ARCO_FLOW_WORKER_DISPATCH_SECRET", "").strip()
TENANT = os.environ.get("ARCO_FLOW_TENANT_ID", "")
WORKSPACE = os.environ.get("ARCO_FLOW_WORKSPACE_ID", "default")
SLOTS = int(os.environ.get("ARCO_FLOW_WORKER_SLOTS", "4"))
WORKER_ID = f"stdlib-{os.getpid()}"
GRACE_S = float(os.environ.get("ARCO_FLOW_WORKER_GRACE_SECS", "10"))
REPORT_S = float(os.environ.get("ARCO_FLOW_WORKER_REPORT_SECS", "300"))
OVER = {"task_already_terminal", "attempt_already_completed", "attempt_mismatch", "attempt_id_mismatch"}
REQUIRED = [
    "tenantId",
    "workspaceId",
    "taskKey",
    "runId",
    "attemptId",
    "dispatchId",
    "workerQueue",
    "callbackBaseUrl",
    "tokenExpiresAt",
]

# --- what it runs ---


def hello(task):
    """Prints, and returns how many rows it made."""
    print("hello from the standard library")
    print("a warning", file=sys.stderr)
    return 3


def fails(task):
    """Raises, which is reported with its trace."""
    raise ValueError("no luck today")


def sleeps(task):
    """Runs until somebody cancels it."""
    time.sleep(600)


def daily(task):
    """Is partitioned: is not run without a key of the form `date=d:2025-01-15`."""
    print("the day is", task["partition"]["date"])


ASSETS = {"demo.hello": hello, "demo.fails": fails, "demo.sleeps": sleeps, "demo.daily": daily}
PARTITIONED = {"demo.daily": r"date=d:(?P<date>\d{4}-\d{2}-\d{2})\Z"}

# --- one task, in a process of its own ---


def run_task():
    """Run the task that comes on standard input; its report goes to the descriptor that is named in it."""
    envelope = json.load(sys.stdin)
    report = {"outcome": "FAILED", "error": {"category": "USER_CODE", "message": "the function did not return"}}
    try:
        key = envelope["taskKey"]
        if key not in ASSETS:
            raise LookupError(f"this worker has no asset {key}")
        found = re.match(PARTITIONED[key], envelope.get("partitionKey") or "") if key in PARTITIONED else None
        if key in PARTITIONED and found is None:
            raise ValueError(f"{key} is partitioned, and {envelope.get('partitionKey')!r} is no partition of it")
        rows = ASSETS[key]({**envelope, "partition": found.groupdict() if found else {}})
        report = {"outcome": "SUCCEEDED"}
        if rows is not None:
            report["output"] = {"rowCount": rows}
    except Exception as error:
        told = {"category": "USER_CODE", "message": str(error), "stackTrace": traceback.format_exc()}
        report = {"outcome": "FAILED", "error": told}
    finally:
        sys.stdout.flush()
        with open(envelope["reportPath"], "w", encoding="utf-8") as file:
            json.dump(report, file)


class Task:
    """One dispatch: started, run beside its heartbeats, completed, its output uploaded."""

    def __init__(self, envelope):
        self.envelope = envelope
        self.cancelled = self.over = self.reported = False
        self.done = threading.Event()

    def run(self):
        """The HTTP status for the queue."""
        status, body = self.report("started", {"startedAt": now()}, 5)
        if status == 409 and body.get("error") in OVER:
            return 200
        if not 200 <= status < 300:
            return 500
        with tempfile.TemporaryDirectory() as folder:
            report = self.execute(folder)
            if self.over:
                self.reported = True
                return 200
            status, _ = self.report("completed", {"completedAt": now(), **report}, REPORT_S)
            if not 200 <= status < 300 and status not in (409, 410):
                return 500
            self.reported = True
            self.upload(folder)
        return 200

    def execute(self, folder):
        """Run the process, and judge how it ended: only what it has reported itself is a success."""
        path = os.path.join(folder, "report.json")
        with open(f"{folder}/stdout", "wb") as output, open(f"{folder}/stderr", "wb") as errors:
            hidden = ("ARCO_FLOW_API_KEY", "ARCO_FLOW_WORKER_DISPATCH_SECRET", "ARCO_FLOW_TASK_TOKEN")
            environment = {name: value for name, value in os.environ.items() if name not in hidden}
            process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--task"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
            safe = {name: value for name, value in self.envelope.items() if name != "taskToken"}
            process.stdin.write(json.dumps({**safe, "reportPath": path}).encode())
            process.stdin.close()
            beats = threading.Thread(target=self.beat, args=(process,))
            beats.start()
            code = process.wait()
            self.done.set()
            beats.join()  # heartbeats stop before completion is sent
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        if self.cancelled:
            return {"outcome": "CANCELLED", "error": {"category": "CANCELLED", "message": "cancelled"}}
        category = "INFRASTRUCTURE" if code < 0 else "USER_CODE"
        message = f"the process was killed by signal {-code}" if code < 0 else f"the process exited with {code}"
        return {"outcome": "FAILED", "error": {"category": category, "message": message}}

    def beat(self, process):
        """Heartbeats, whose answers may say that the task is to end."""
        while not self.done.wait(heartbeat_period(self.envelope)):
            status, body = self.report("heartbeat", {"heartbeatAt": now()}, 0)
            self.over = status in (409, 410)
            self.cancelled = bool(body.get("shouldCancel"))
            if self.over or self.cancelled:
                process.terminate()
                if not self.done.wait(GRACE_S):
                    process.kill()
                return

    def report(self, what, fields, window_s):
        """Status and body of a report, repeated while the api may take it later; status 0 when nobody answers."""
        e = self.envelope
        body = {"attempt": e["attempt"], "attemptId": e["attemptId"], "workerId": WORKER_ID, **fields}
        task_id = urllib.parse.quote(e["taskId"], safe="")
        token = e.get("taskToken") or os.environ.get("ARCO_FLOW_TASK_TOKEN", "")
        return post(f"{API}/api/v1/tasks/{task_id}/{what}", token, body, window_s)

    def upload(self, folder):
        """What the task wrote; nobody fails a task because its logs are lost."""
        texts = {}
        for name in ("stdout", "stderr"):
            with open(f"{folder}/{name}", "rb") as file:
                texts[name] = file.read(900_000).decode("utf-8", "replace")
        e = self.envelope
        url = f"{API}/api/v1/workspaces/{WORKSPACE}/runs/{urllib.parse.quote(e['runId'], safe='')}/logs"
        status, _ = post(url, API_KEY, {"taskKey": e["taskKey"], "attempt": e["attempt"], **texts}, 5)
        if status not in (200, 409):
            print("logs not uploaded:", status, file=sys.stderr)


def post(url, token, body, window_s):
    """POST; a refusal is an answer, silence and 5xx are asked again until the window is over."""
    until, pause = time.monotonic() + window_s, 0.2
    while True:
        headers = {"Content-Type": "application/json", "User-Agent": "arco-flow-cli/0.1"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        status, text = 0, b""
        try:
            request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except OSError:
            pass
        if (0 < status < 500 and status != 429) or time.monotonic() + pause > until:
            try:
                return status, json.loads(text or b"{}")
            except ValueError:
                return status, {}
        time.sleep(pause)
        pause = min(2 * pause, 10)


def heartbeat_period(envelope):
    """A fifth of the timeout, from 5 s to 60 s."""
    return min(max(envelope.get("heartbeatTimeoutSec", 300) / 5, 5), 60)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


# --- taking dispatches ---

LOCK = threading.Lock()
RUNNING = set()
FINISHED = OrderedDict()


def checked(body):
    """The envelope in camelCase, if it is for this worker. Raises ValueError."""
    given = json.loads(body)
    if not isinstance(given, dict):
        raise ValueError("not an object")
    envelope = {}
    for name, value in given.items():
        camel = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
        camel = "taskId" if camel == "callbackTaskId" else camel
        if value is None:
            continue
        if camel in envelope and envelope[camel] != value:
            raise ValueError(f"{camel} is said twice")
        envelope[camel] = value
    envelope.setdefault("taskId", envelope.get("taskKey"))
    missing = [name for name in REQUIRED if not isinstance(envelope.get(name), str) or not envelope[name]]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    if type(envelope.get("attempt")) is not int or envelope["attempt"] < 1:
        raise ValueError("attempt")
    if (envelope["tenantId"], envelope["workspaceId"]) != (TENANT, WORKSPACE):
        raise ValueError("another tenant or workspace")
    if envelope["callbackBaseUrl"].rstrip("/").lower() != API.lower():
        raise ValueError("another api")
    if envelope.get("heartbeatTimeoutSec", 300) < 30:
        raise ValueError("heartbeatTimeoutSec is below 30")
    return envelope


def dispatched(body):
    """Status and headers for a dispatch; answers when the task has ended."""
    task = None
    try:
        envelope = checked(body)
    except (ValueError, TypeError):
        return 400, {}
    name = envelope["dispatchId"]
    with LOCK:
        if name in FINISHED:
            FINISHED.move_to_end(name)
            return 200, {}
        if name in RUNNING or len(RUNNING) >= SLOTS:
            return 503, {"Retry-After": "1"}
        RUNNING.add(name)
    try:
        task = Task(envelope)
        status = task.run()
    except Exception:
        traceback.print_exc()
        status = 500
    with LOCK:
        RUNNING.discard(name)
        if task and task.reported:
            FINISHED[name] = None
            while len(FINISHED) > 1024:
                FINISHED.popitem(last=False)
    return status, {}


class Handler(BaseHTTPRequestHandler):
    """POST /dispatch and GET /health."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(*((200, {}, b"ok") if self.path == "/health" else (404, {})))

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1_000_000))
        if self.path != "/dispatch":
            return self.answer(404, {})
        if not self.known():
            return self.answer(401, {})
        return self.answer(*dispatched(body))

    def known(self):
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        offered = [self.headers.get("X-Arco-Dispatch-Secret", ""), bearer if scheme.lower() == "bearer" else ""]
        return bool(SECRET) and any(hmac.compare_digest(one.strip().encode(), SECRET.encode()) for one in offered)

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Handler)
    server.daemon_threads = True
    print(json.dumps({"event": "worker_started", "url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    run_task() if "--task" in sys.argv else main()
