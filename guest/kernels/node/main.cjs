// The JavaScript and TypeScript kernel: `perl pipes.pl node --expose-internals … main.cjs javascript|typescript`.
//
// It speaks the lines of ../python/sandlot_kernel/wire.py. User code runs in a worker thread (engine.cjs), so
// this thread is always free to read requests, pass output on, and interrupt.
"use strict";

const fs = require("node:fs");
const inspector = require("node:inspector/promises");
const { Worker, SHARE_ENV } = require("node:worker_threads");
const { join } = require("node:path");
const { Outlet } = require("./outlet.cjs");
const { Lines } = require("./lines.cjs");

const PROTOCOL = 1;
const REQUESTS_FD = 3;
const DIAGNOSTICS_FD = 5;
const GRACE_MS = 100; // for code that waits; code that computes is stopped after it

class Kernel {
  constructor(language) {
    this.outlet = new Outlet();
    this.context = null;
    this.run = null;
    this.executions = 0;
    this.shared = new Int32Array(new SharedArrayBuffer(4)); // how many interrupts the worker has taken note of
    this.interrupts = 0;
    this.worker = new Worker(join(__dirname, "engine.cjs"), {
      env: SHARE_ENV,
      argv: [],
      stdout: true, // not to be passed on to this thread's: code writes to the pipes
      stderr: true,
      workerData: { language, shared: this.shared },
    });
    this.worker.on("message", (message) => this[message.type](message));
    this.worker.on("error", (error) => die(error));
    this.worker.on("exit", (code) => die(new Error(`the thread of the code ended with ${code}`)));
    this.engine = this._attach();
    process.on("SIGINT", () => this.interrupt());
  }

  serve() {
    const lines = new Lines((line) => this._take(line));
    fs.createReadStream(null, { fd: REQUESTS_FD, autoClose: false })
      .on("data", (data) => lines.feed(data))
      .on("end", () => process.exit(0));
  }

  _take(line) {
    let request;
    try {
      request = JSON.parse(line);
      if (typeof request?.id !== "string") throw new TypeError("a request is an object with an id");
      if (!["hello", "ping", "activity", "run"].includes(request.op)) throw new TypeError(`no operation ${request.op}`);
    } catch (error) {
      this.outlet.answer({ type: "invalid", message: `${error.name}: ${error.message}`.slice(0, 1000) });
      return;
    }
    this.worker.postMessage({ ...request, context: undefined });
    if (request.op === "hello") this.context = request.context;
    if (request.op === "run") this._begin(request);
  }

  _begin(request) {
    this.run = request.id;
    this.outlet.begin(request.id);
  }

  // What the worker says. It answers requests in their order, so all answers come through it.

  ready({ id }) {
    this.outlet.answer({ type: "ready", id, protocol: PROTOCOL, setenv: true, node: process.versions.node });
  }

  pong({ id }) {
    this.outlet.answer({ type: "pong", id, context: this.context, setenv: true });
  }

  activity({ id, reasons }) {
    this.outlet.answer({ type: "activity", id, reasons });
  }

  result({ event, port, answered }) {
    this.outlet.send(event);
    reply(port, answered, {});
  }

  chdir({ directory, port, answered }) {
    try {
      process.chdir(directory);
      reply(port, answered, {});
    } catch (error) {
      reply(port, answered, { error });
    }
  }

  done({ error }) {
    this.executions += 1;
    const events = error ? [{ type: "error", ...error }] : [];
    this.outlet.end([...events, { type: "done", execution_count: this.executions }]);
    this.run = null;
  }

  /** Code that waits is told, and its awaits fail; code that computes is stopped where it is. */
  interrupt() {
    if (this.run === null) return;
    const run = this.run;
    const number = ++this.interrupts;
    this.worker.postMessage({ op: "interrupt", number, run });
    setTimeout(() => {
      if (this.run === run && Atomics.load(this.shared, 0) < number) this._stop();
    }, GRACE_MS);
  }

  async _attach() {
    const session = new inspector.Session();
    session.connect();
    const attached = new Promise((resolve) => session.once("NodeWorker.attachedToWorker", resolve));
    await session.post("NodeWorker.enable", { waitForDebuggerOnStart: false });
    const { sessionId } = (await attached).params;
    return (method) =>
      session.post("NodeWorker.sendMessageToWorker", {
        sessionId,
        message: JSON.stringify({ id: 1, method, params: {} }),
      });
  }

  async _stop() {
    (await this.engine)("Runtime.terminateExecution");
  }
}

function reply(port, answered, message) {
  port.postMessage(message);
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
}

function die(error) {
  fs.writeSync(DIAGNOSTICS_FD, `${error.stack}\n`);
  process.exit(1);
}

new Kernel(process.argv[2]).serve();
