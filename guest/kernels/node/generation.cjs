// Whether this memory has come back from a snapshot: two sandboxes may have it then, with the same random numbers
// to come.
"use strict";

const fs = require("node:fs");
const { drawFromSystem } = require("./crypto.cjs");

const PATH = "/run/sandlot/generation"; // what it holds rises with each restore

class Generation {
  /** The file is kept open: what is read before each run must cost next to nothing. */
  constructor() {
    try {
      this._fd = fs.openSync(PATH, "r");
    } catch {
      this._fd = null; // the guest agent is one of before, or there is none
    }
    this._known = this._read();
  }

  /** Since the last time that it was asked. */
  hasChanged() {
    const before = this._known;
    this._known = this._read();
    return this._known !== before;
  }

  _read() {
    if (this._fd === null) return "";
    const text = Buffer.alloc(32);
    try {
      return text.toString("latin1", 0, fs.readSync(this._fd, text, 0, text.length, 0));
    } catch {
      return ""; // user code has closed it
    }
  }
}

let ours = Math.random;

/** V8 cannot be given a new seed: another generator (xoshiro128**, Blackman and Vigna) takes its place, unless user
 * code has put one there.
 */
function reseed() {
  drawFromSystem();
  if (Math.random !== ours) return;
  ours = generator(fs.openSync("/dev/urandom", "r"));
  Math.random = ours;
}

function generator(source) {
  const state = new Uint32Array(4);
  fs.readSync(source, state);
  fs.closeSync(source);
  const next = () => {
    const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 11);
    return result;
  };
  return function random() {
    return (next() * 0x200000 + (next() >>> 11)) / 0x20000000000000;
  };
}

function rotate(value, bits) {
  return (value << bits) | (value >>> (32 - bits));
}

module.exports = { Generation, reseed };
