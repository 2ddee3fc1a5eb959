// Everything that a run tells the host, in the order in which it happened; the same rules as in
// ../python/sandlot_kernel/outlet.py: output is gathered for BATCH_MS, between runs the newest BACKLOG
// characters are kept for the next one.
"use strict";

const fs = require("node:fs");
const net = require("node:net");
const { StringDecoder } = require("node:string_decoder");

const EVENTS_FD = 4;
const STREAMS = [
  ["stdout", 6],
  ["stderr", 7],
];
const BATCH_MS = 20;
const BATCH_SIZE = 64 * 1024;
const BACKLOG = 256 * 1024;
const PIPE_SIZE = 1024 * 1024;

class Outlet {
  constructor() {
    this._run = null;
    this._lines = []; // encoded events; between runs [stream, text]
    this._size = 0;
    this._stream = "";
    this._text = "";
    this._dropped = 0;
    this._timer = null;
    this._piece = Buffer.allocUnsafe(64 * 1024);
    this._pipes = STREAMS.map(([stream, fd]) => this._listen(stream, fd));
  }

  begin(run) {
    this._run = run;
    if (this._dropped) {
      this._lines.unshift(["stderr", `[${this._dropped} characters written between runs were dropped]\n`]);
      this._dropped = 0;
    }
    this._lines = this._lines.map(([stream, text]) => encode({ id: run, type: stream, text }));
    if (this._size) this._arm();
  }

  /** An event that is not text, after all text so far. */
  send(event) {
    if (this._run === null) return; // shown between runs: there is nobody to show it to
    this._readPipes();
    this._seal();
    this._add(encode({ id: this._run, ...event }));
  }

  /** The last events of the run; then all of it is sent. */
  end(events) {
    this._readPipes();
    for (const { stream, decoder } of this._pipes) this._write(stream, decoder.end());
    this._seal();
    this._lines.push(...events.map((event) => encode({ id: this._run, ...event })));
    this._flush();
    this._run = null;
  }

  /** An event outside any run. */
  answer(event) {
    writeAll(encode(event));
  }

  _listen(stream, fd) {
    const decoder = new StringDecoder("utf8");
    new net.Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafe(64 * 1024),
        callback: (size, buffer) => {
          this._write(stream, decoder.write(buffer.subarray(0, size)));
          return true;
        },
      },
    });
    return { stream, fd, decoder };
  }

  _readPipes() {
    for (const { stream, fd, decoder } of this._pipes) {
      for (let left = PIPE_SIZE; left > 0; ) {
        const size = readNow(fd, this._piece);
        if (size === 0) break;
        left -= size;
        this._write(stream, decoder.write(this._piece.subarray(0, size)));
      }
    }
  }

  _write(stream, text) {
    if (!text) return;
    if (stream !== this._stream) {
      this._seal();
      this._stream = stream;
    }
    this._text += text;
    this._size += text.length;
    this._afterAdding();
  }

  _add(line) {
    this._lines.push(line);
    this._size += line.length;
    this._afterAdding();
  }

  _afterAdding() {
    if (this._run === null) this._dropOldest();
    else if (this._size >= BATCH_SIZE) this._flush();
    else this._arm();
  }

  _arm() {
    this._timer ??= setTimeout(() => this._flush(), BATCH_MS);
  }

  _seal() {
    if (!this._text) return;
    const text = this._text;
    this._text = "";
    this._lines.push(this._run === null ? [this._stream, text] : encode({ id: this._run, type: this._stream, text }));
  }

  _dropOldest() {
    if (this._size <= BACKLOG) return;
    this._seal();
    while (this._size > BACKLOG / 2) {
      const [, text] = this._lines.shift();
      this._size -= text.length;
      this._dropped += text.length;
    }
  }

  _flush() {
    clearTimeout(this._timer);
    this._timer = null;
    if (this._run === null) return;
    this._seal();
    this._size = 0;
    const lines = this._lines;
    this._lines = [];
    if (lines.length) writeAll(lines.join(""));
  }
}

/** One line. Lone surrogates have no UTF-8, and most refuse their JSON escape. */
function encode(event) {
  return JSON.stringify(event, (_, value) => (typeof value === "string" ? value.toWellFormed() : value)) + "\n";
}

function readNow(fd, buffer) {
  try {
    return fs.readSync(fd, buffer);
  } catch (error) {
    if (error.code === "EAGAIN") return 0;
    throw error;
  }
}

function writeAll(text) {
  const data = Buffer.from(text, "utf8");
  for (let at = 0; at < data.length; ) at += fs.writeSync(EVENTS_FD, data, at);
}

module.exports = { Outlet };
