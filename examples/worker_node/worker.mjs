// A worker for arco on Node (20 or later) without any package, written from the protocol (docs/workers.md).
//
//   ARCO_FLOW_API_URL=http://127.0.0.1:8080 ARCO_FLOW_TENANT_ID=local ARCO_FLOW_WORKSPACE_ID=default \
//   ARCO_FLOW_WORKER_DISPATCH_SECRET=... PORT=8090 node worker.mjs
//
// Each task runs in a process of its own, so that it can be killed. Put your functions where `hello` is.

import { fork } from "node:child_process";
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const env = process.env;
const API = (env.ARCO_FLOW_API_URL ?? "https://api.arco.dev").replace(/\/+$/, "");
const SECRET = (env.ARCO_FLOW_WORKER_DISPATCH_SECRET ?? "").trim();
const TENANT = env.ARCO_FLOW_TENANT_ID ?? "";
const WORKSPACE = env.ARCO_FLOW_WORKSPACE_ID ?? "default";
const SLOTS = Number(env.ARCO_FLOW_WORKER_SLOTS ?? 4);
const GRACE_MS = Number(env.ARCO_FLOW_WORKER_GRACE_SECS ?? 10) * 1000;
const REPORT_MS = Number(env.ARCO_FLOW_WORKER_REPORT_SECS ?? 300) * 1000;
const WORKER_ID = `node-${process.pid}`;
const OVER = ["task_already_terminal", "attempt_already_completed", "attempt_mismatch", "attempt_id_mismatch"];
const LOG_CHARS_MAX = 600_000;

// --- what it runs ---

const ASSETS = {
  "demo.hello": () => {
    console.log("hello from Node");
    console.error("a warning");
    return 3;
  },
  "demo.fails": () => {
    throw new Error("no luck today");
  },
  "demo.sleeps": () => sleep(600_000),
  "demo.daily": (task) => console.log("the day is", task.partition.date),
};
const PARTITIONED = { "demo.daily": /^date=d:(?<date>\d{4}-\d{2}-\d{2})$/ };

// --- one task, in a process of its own ---

async function runTask(envelope) {
  try {
    const key = envelope.taskKey;
    if (!(key in ASSETS)) throw new Error(`this worker has no asset ${key}`);
    const partition = key in PARTITIONED ? PARTITIONED[key].exec(envelope.partitionKey ?? "")?.groups : {};
    if (!partition) throw new Error(`${key} is partitioned, and ${envelope.partitionKey} is no partition of it`);
    const rows = await ASSETS[key]({ ...envelope, partition });
    return { outcome: "SUCCEEDED", ...(rows === undefined ? {} : { output: { rowCount: rows } }) };
  } catch (error) {
    const told = { category: "USER_CODE", message: String(error.message ?? error), stackTrace: String(error.stack) };
    return { outcome: "FAILED", error: told };
  }
}

class Task {
  constructor(envelope) {
    this.envelope = envelope;
    this.cancelled = this.over = this.reported = false;
    this.stdout = this.stderr = "";
  }

  // The HTTP status for the queue.
  async run() {
    const started = await this.report("started", { startedAt: new Date() }, 5_000);
    if (started.status === 409 && OVER.includes(started.body.error)) return 200;
    if (!ok(started.status)) return 500;
    const report = await this.execute();
    this.reported = this.over;
    if (this.over) return 200;
    const completed = await this.report("completed", { completedAt: new Date(), ...report }, REPORT_MS);
    if (!ok(completed.status) && ![409, 410].includes(completed.status)) return 500;
    this.reported = true;
    await this.upload();
    return 200;
  }

  // Run the process, and judge how it ended: only what it has reported itself is a success.
  execute() {
    const { ARCO_FLOW_API_KEY, ARCO_FLOW_WORKER_DISPATCH_SECRET, ARCO_FLOW_TASK_TOKEN, ...open } = env;
    const options = { env: open, stdio: ["ignore", "pipe", "pipe", "ipc"] };
    const child = fork(fileURLToPath(import.meta.url), ["--task"], options);
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (text) => {
        if (this[name].length < LOG_CHARS_MAX) this[name] += text;
      });
    }
    const { taskToken, ...safe } = this.envelope;
    child.send(safe);
    const beats = setInterval(() => this.beat(child), heartbeatPeriod(this.envelope));
    return new Promise((resolve) => {
      let report;
      child.on("message", (message) => (report = message));
      child.on("close", (code, signal) => {
        clearInterval(beats); // heartbeats stop before completion is sent
        resolve(report ?? this.silence(code, signal));
      });
    });
  }

  silence(code, signal) {
    if (this.cancelled) return { outcome: "CANCELLED", error: { category: "CANCELLED", message: "cancelled" } };
    const category = signal ? "INFRASTRUCTURE" : "USER_CODE";
    return { outcome: "FAILED", error: { category, message: signal ? `killed by ${signal}` : `exited with ${code}` } };
  }

  async beat(child) {
    const { status, body } = await this.report("heartbeat", { heartbeatAt: new Date() }, 0);
    this.over ||= status === 409 || status === 410;
    this.cancelled ||= body.shouldCancel === true;
    if (!this.over && !this.cancelled) return;
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), GRACE_MS).unref();
  }

  report(what, fields, windowMs) {
    const { attempt, attemptId, taskId, taskToken } = this.envelope;
    const token = taskToken || env.ARCO_FLOW_TASK_TOKEN;
    const path = `/api/v1/tasks/${encodeURIComponent(taskId)}/${what}`;
    return post(path, token, { attempt, attemptId, workerId: WORKER_ID, ...fields }, windowMs);
  }

  async upload() {
    const { runId, taskKey, attempt } = this.envelope;
    const path = `/api/v1/workspaces/${WORKSPACE}/runs/${encodeURIComponent(runId)}/logs`;
    const body = { taskKey, attempt, stdout: this.stdout, stderr: this.stderr };
    const { status } = await post(path, env.ARCO_FLOW_API_KEY, body, 5_000);
    if (![200, 409].includes(status)) console.error("logs not uploaded:", status);
  }
}

// POST; a refusal is an answer, silence and 5xx are asked again until the window is over.
async function post(path, token, body, windowMs) {
  const until = Date.now() + windowMs;
  for (let pause = 200; ; pause = Math.min(2 * pause, 10_000)) {
    let status = 0;
    let text = "";
    try {
      const headers = { "content-type": "application/json", "user-agent": "arco-flow-cli/0.1" };
      if (token) headers.authorization = `Bearer ${token}`;
      const signal = AbortSignal.timeout(30_000);
      const answer = await fetch(API + path, { method: "POST", headers, body: JSON.stringify(body), signal });
      status = answer.status;
      text = await answer.text();
    } catch {
      status = 0;
    }
    if ((status > 0 && status < 500 && status !== 429) || Date.now() + pause > until) return { status, body: object(text) };
    await sleep(pause);
  }
}

const ok = (status) => status >= 200 && status < 300;

const heartbeatPeriod = (envelope) =>
  Math.min(Math.max((envelope.heartbeatTimeoutSec ?? 300) * 200, 5_000), 60_000);

function object(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// --- taking dispatches ---

const running = new Set();
const finished = new Set(); // in the order in which they were used last

// The envelope in camelCase, if it is for this worker; throws otherwise.
function checked(text) {
  const given = JSON.parse(text);
  const envelope = {};
  for (const [name, value] of Object.entries(given)) {
    let camel = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
    if (camel === "callbackTaskId") camel = "taskId";
    if (value === null) continue;
    if (camel in envelope && envelope[camel] !== value) throw new Error(`${camel} is said twice`);
    envelope[camel] = value;
  }
  envelope.taskId ??= envelope.taskKey;
  const required = "tenantId workspaceId taskKey runId attemptId dispatchId workerQueue callbackBaseUrl tokenExpiresAt";
  for (const name of required.split(" ")) {
    if (typeof envelope[name] !== "string" || !envelope[name]) throw new Error(`missing ${name}`);
  }
  if (!Number.isInteger(envelope.attempt) || envelope.attempt < 1) throw new Error("attempt");
  if (envelope.tenantId !== TENANT || envelope.workspaceId !== WORKSPACE) throw new Error("another workspace");
  if (new URL(envelope.callbackBaseUrl).href !== new URL(API).href) throw new Error("another api");
  if ((envelope.heartbeatTimeoutSec ?? 300) < 30) throw new Error("heartbeatTimeoutSec is below 30");
  return envelope;
}

async function dispatched(text) {
  let envelope;
  try {
    envelope = checked(text);
  } catch {
    return [400, {}];
  }
  const name = envelope.dispatchId;
  if (finished.has(name)) return remember(name);
  if (running.has(name) || running.size >= SLOTS) return [503, { "retry-after": "1" }];
  running.add(name);
  const task = new Task(envelope);
  let status = 500;
  try {
    status = await task.run();
  } catch (error) {
    console.error(error);
  }
  running.delete(name);
  return task.reported ? remember(name) : [status, {}];
}

function remember(name) {
  finished.delete(name);
  finished.add(name);
  if (finished.size > 1024) finished.delete(finished.values().next().value);
  return [200, {}];
}

const digest = (text) => createHash("sha256").update(text).digest();

function known(headers) {
  const [scheme, ...rest] = (headers.authorization ?? "").split(" ");
  const offered = [headers["x-arco-dispatch-secret"] ?? "", scheme.toLowerCase() === "bearer" ? rest.join(" ") : ""];
  return SECRET !== "" && offered.some((one) => timingSafeEqual(digest(one.trim()), digest(SECRET)));
}

async function serve(request, response) {
  const answer = (status, headers = {}, body = "") => response.writeHead(status, headers).end(body);
  if (request.method === "GET" && request.url === "/health") return answer(200, {}, "ok");
  if (request.method !== "POST" || request.url !== "/dispatch") return answer(404);
  if (!known(request.headers)) return answer(401);
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > 1_000_000) return answer(400);
  }
  return answer(...(await dispatched(text)));
}

if (process.argv.includes("--task")) {
  process.once("message", async (envelope) => {
    const report = await runTask(envelope);
    process.send(report, () => process.exit(0));
  });
} else {
  const server = createServer(serve);
  server.requestTimeout = 0; // an answer comes when its task has ended
  server.listen(Number(env.PORT ?? 8090), "127.0.0.1", () => {
    const url = `http://127.0.0.1:${server.address().port}`;
    console.log(JSON.stringify({ event: "worker_started", url }));
  });
}
