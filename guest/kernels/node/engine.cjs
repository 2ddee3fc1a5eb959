// The thread that user code runs in: a console of V8's inspector, on itself.
"use strict";

const { Session } = require("node:inspector");
const { createRequire } = require("node:module");
const { constants, Script } = require("node:vm");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");
const { parentPort, workerData } = require("node:worker_threads");
const { inspect } = require("node:util");
const { Activity } = require("./activity.cjs");
const { bundleOf, makeDisplay, toEvent } = require("./display.cjs");
const { Generation, reseed } = require("./generation.cjs");
const host = require("./host.cjs");
const { HELPER, prepare } = require("./transform.cjs");

const VALUE_LIMIT = 64 * 1024;
const TRACEBACK_LIMIT = 256 * 1024;
const DECLARED = /^Identifier '(.+)' has already been declared$/;
const TIDY_MS = 300; // for code whose await was interrupted

class KeyboardInterrupt extends Error {
  name = "KeyboardInterrupt";
}

class Engine {
  constructor({ language, shared }) {
    this._language = language;
    this._shared = shared;
    this._session = new Session();
    this._session.connect();
    this._cells = 0;
    this._requests = [];
    this._active = null; // the run that goes on: {id, restore, interrupted: {promise, reject}}
    this._install();
    this._activity = new Activity();
    this._generation = new Generation();
    parentPort.on("message", (request) => {
      if (request.op === "interrupt") this._interrupt(request);
      else this._requests.push(request);
      this._next();
    });
  }

  _next() {
    while (this._active === null && this._requests.length) {
      const request = this._requests.shift();
      this[request.op](request);
    }
  }

  hello({ id }) {
    parentPort.postMessage({ type: "ready", id });
  }

  ping({ id }) {
    parentPort.postMessage({ type: "pong", id });
  }

  activity({ id }) {
    parentPort.postMessage({ type: "activity", id, reasons: this._activity.reasons() });
  }

  run({ id, code, env, setenv }) {
    if (this._generation.hasChanged()) reseed();
    Object.assign(process.env, setenv);
    const run = { id, restore: setEnvironment(env ?? {}), interrupted: Promise.withResolvers() };
    run.interrupted.promise.catch(() => {});
    this._active = run;
    this._execute(code, run).then(
      () => this._finish(run, null),
      (error) => this._finish(run, error),
    );
  }

  async _execute(code, run) {
    this._cells += 1;
    let { value, awaits } = await this._declareAnew(code);
    if (awaits) ({ value } = await value);
    value = await Promise.race([value, run.interrupted.promise]);
    if (value !== undefined) this._show(await bundleOf(value), true);
  }

  /** Nothing of a cell has run when V8 says that a name exists: say it otherwise then. */
  async _declareAnew(code) {
    for (const taken = new Set(); ; ) {
      const { source, awaits } = prepare(code, this._language, taken);
      try {
        return { awaits, ...(await this._inReplMode(source, code)) };
      } catch (error) {
        const [, name] = DECLARED.exec(error instanceof SyntaxError ? error.message : "") ?? [];
        if (name === undefined || taken.has(name)) throw error;
        taken.add(name);
      }
    }
  }

  _finish(run, error) {
    if (this._active !== run) return;
    this._active = null;
    run.restore();
    parentPort.postMessage({ type: "done", error: error && describe(error) });
    this._next();
  }

  /** What is awaited fails. Where code was stopped all that would have gone on after it is gone with it, or it
   * does not let itself be interrupted: then the run ends without it.
   */
  _interrupt({ number, run: id }) {
    Atomics.store(this._shared, 0, number);
    const run = this._active;
    if (run?.id !== id) return;
    const error = new KeyboardInterrupt("interrupted");
    run.interrupted.reject(error);
    setTimeout(() => this._finish(run, error), TIDY_MS);
  }

  /** `{value}`: a promise as such would be waited for. */
  async _inReplMode(source, code) {
    const name = `cell-${this._cells}`;
    const { result, exceptionDetails } = await this._post("Runtime.evaluate", {
      expression: `${source}\n//# sourceURL=${name}`,
      replMode: true,
      objectGroup: "cell",
    }).catch(() => {
      throw new KeyboardInterrupt("interrupted");
    });
    try {
      if (!exceptionDetails) return await this._valueOf(result);
      const { value: thrown } = await this._valueOf(exceptionDetails.exception);
      throw locate(thrown, exceptionDetails, code, name);
    } finally {
      this._post("Runtime.releaseObjectGroup", { objectGroup: "cell" });
    }
  }

  /** `{value}` itself, for the inspector's word for it. */
  async _valueOf(remote) {
    if (remote.objectId === undefined) return { value: primitive(remote) };
    let value;
    globalThis[HELPER].take = (taken) => (value = taken);
    await this._post("Runtime.callFunctionOn", {
      objectId: remote.objectId,
      functionDeclaration: `function () { "use strict"; globalThis.${HELPER}.take(this); }`,
    });
    globalThis[HELPER].take = null;
    return { value };
  }

  _post(method, parameters) {
    const { promise, resolve, reject } = Promise.withResolvers();
    this._session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result)));
    return promise;
  }

  _show(bundle, isMain = false) {
    host.ask({ type: "result", event: toEvent(bundle, isMain) });
  }

  _install() {
    host.install();
    const helper = {
      import: (name, options) => importFrom(process.cwd(), name, options),
      until: (...values) => this._until(values.at(-1)),
      get meta() {
        return metaOf(process.cwd());
      },
    };
    const display = makeDisplay((bundle) => this._show(bundle));
    const require = createRequire(join(process.cwd(), HELPER));
    for (const [name, value] of Object.entries({ [HELPER]: helper, display, $$: display, require })) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
    }
    globalThis.module = { exports: {} };
    globalThis.exports = globalThis.module.exports;
    for (const event of ["uncaughtException", "unhandledRejection"]) {
      process.on(event, (error) => process.stderr.write(`Uncaught ${traceback(error)}\n`));
    }
  }

  /** A top-level await: of what is awaited, or of an interrupt. */
  _until(value) {
    return this._active === null ? value : Promise.race([value, this._active.interrupted.promise]);
  }
}

/** `import(name)` as a module in the folder would have it; packages of `npm install --global` count as well. */
async function importFrom(folder, name, options) {
  const plain = String(name).replace(/^npm:(@?[^@]+)(?:@[^/]*)?/, "$1");
  const script = new Script("(name, options) => import(name, options)", {
    filename: join(folder, "cell.mjs"),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const load = script.runInThisContext();
  try {
    return await load(plain, options);
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]|^\w+:/.test(plain)) throw error;
    let path;
    try {
      path = createRequire(join(folder, "cell.mjs")).resolve(plain);
    } catch {
      throw error;
    }
    return await load(pathToFileURL(path).href, options);
  }
}

function metaOf(folder) {
  const filename = join(folder, "cell.mjs");
  const url = pathToFileURL(filename).href;
  return { url, filename, dirname: folder, resolve: (name) => new URL(name, url).href };
}

/** Variables for one run; what they were before comes back after it. */
function setEnvironment(changes) {
  const before = Object.keys(changes).map((name) => [name, process.env[name]]);
  Object.assign(process.env, changes);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

function primitive({ type, subtype, value, unserializableValue }) {
  if (type === "undefined") return undefined;
  if (subtype === "null") return null;
  if (unserializableValue === undefined) return value;
  return unserializableValue.endsWith("n") ? BigInt(unserializableValue.slice(0, -1)) : Number(unserializableValue);
}

/** A mistake of syntax has no frames: say where it is. */
function locate(error, { lineNumber, columnNumber }, code, name) {
  if (error instanceof SyntaxError && !/\n\s+at /.test(error.stack)) {
    const line = code.split("\n")[lineNumber];
    const where = line === undefined ? [] : [line, `${" ".repeat(Math.min(columnNumber, line.length))}^`];
    error.stack = [`${name}:${lineNumber + 1}`, ...where, "", error.stack].join("\n");
  }
  return error;
}

function describe(thrown) {
  const isError = thrown instanceof Error;
  return {
    name: isError ? String(thrown.name) : "Error",
    value: shorten(isError ? String(thrown.message) : inspect(thrown), VALUE_LIMIT),
    traceback: shorten(traceback(thrown), TRACEBACK_LIMIT),
  };
}

/** Without the frames that are Node's or ours. */
function traceback(thrown) {
  if (!(thrown instanceof Error)) return `Uncaught ${inspect(thrown)}`;
  const text = thrown.cause === undefined ? String(thrown.stack) : inspect(thrown);
  return text
    .split("\n")
    .filter((line) => !/^\s+at /.test(line) || !(line.includes("node:") || line.includes(__dirname)))
    .join("\n");
}

function shorten(text, limit) {
  if (text.length <= limit) return text;
  const half = limit / 2;
  return `${text.slice(0, half)}\n… ${text.length - limit} characters left out …\n${text.slice(-half)}`;
}

new Engine(workerData);
