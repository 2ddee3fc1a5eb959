// What the main thread does for this one, and what a thread has otherwise than a program: here it looks the same.
"use strict";

const fs = require("node:fs");
const { Writable } = require("node:stream");
const { MessageChannel, parentPort, receiveMessageOnPort } = require("node:worker_threads");

class SystemExit extends Error {
  name = "SystemExit";
}

/** Ask the main thread and wait for its answer, without leaving the code that asks. */
function ask(message) {
  const { port1, port2 } = new MessageChannel();
  const answered = new Int32Array(new SharedArrayBuffer(4));
  parentPort.postMessage({ ...message, port: port2, answered }, [port2]);
  Atomics.wait(answered, 0, 0);
  const { error } = receiveMessageOnPort(port1).message;
  port1.close();
  if (error) throw error;
}

class Output extends Writable {
  constructor(fd) {
    super({ decodeStrings: true });
    this.fd = fd;
  }

  _write(data, encoding, done) {
    writeAll(this.fd, data);
    done();
  }

  /** Not ours to close: the next run prints here as well. */
  end() {
    return this;
  }
}

function writeAll(fd, data) {
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(fd, data, at);
    } catch (error) {
      if (error.code === "EBADF") return; // user code has closed it
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function install() {
  for (const [name, fd] of [
    ["stdout", 1],
    ["stderr", 2],
  ]) {
    Object.defineProperty(process, name, { value: new Output(fd), configurable: true, enumerable: true });
  }
  process.chdir = (directory) => ask({ type: "chdir", directory });
  // The run ends, the interpreter stays.
  process.exit = (code = process.exitCode ?? 0) => {
    throw new SystemExit(String(code));
  };
  process.execArgv = [];
}

module.exports = { ask, install };
