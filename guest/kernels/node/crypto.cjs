// Node's own OpenSSL keeps its generator in memory and cannot be told of a restore: what `crypto` draws from it comes
// from the system from then on. Keys that it makes do not.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const { syncBuiltinESMExports } = require("node:module");

const HIGHEST = 2 ** 48; // what randomInt takes as a range

let source = null;

/** Once; later restores change nothing here. */
function drawFromSystem() {
  if (source !== null) return;
  source = fs.openSync("/dev/urandom", "r");
  wrap(crypto, "randomBytes", (size) => [0, size]);
  wrap(crypto, "pseudoRandomBytes", (size) => [0, size]);
  wrap(crypto, "randomFillSync", part);
  wrap(crypto, "randomFill", part);
  wrap(Object.getPrototypeOf(crypto.webcrypto), "getRandomValues", part);
  replace(crypto, "randomInt", (low, high) => (typeof high === "number" ? int(low, high) : int(0, low)));
  replace(crypto, "randomUUID", uuid);
  replace(Object.getPrototypeOf(crypto.webcrypto), "randomUUID", uuid);
  syncBuiltinESMExports();
}

/** The original says what is wrong with its arguments; what it gives is then written over, `[start, size]` in bytes. */
function wrap(object, name, region) {
  const original = object[name];
  object[name] = function (...given) {
    const callback = given.at(-1);
    if (typeof callback !== "function") return fill(original.apply(this, given), region(...given));
    const answer = (error, bytes) => callback(error, error ? bytes : fill(bytes, region(...given.slice(0, -1))));
    return original.call(this, ...given.slice(0, -1), answer);
  };
}

function replace(object, name, draw) {
  const original = object[name];
  object[name] = function (...given) {
    const callback = given.at(-1);
    if (typeof callback !== "function") {
      original.apply(this, given);
      return draw(...given);
    }
    return original.call(this, ...given.slice(0, -1), (error) => callback(error, draw(...given)));
  };
}

function part(buffer, offset = 0, size = undefined) {
  const unit = buffer.BYTES_PER_ELEMENT ?? 1;
  return [offset * unit, size === undefined ? buffer.byteLength - offset * unit : size * unit];
}

function fill(buffer, [start, size]) {
  const isView = ArrayBuffer.isView(buffer);
  const bytes = new Uint8Array(isView ? buffer.buffer : buffer, (isView ? buffer.byteOffset : 0) + start, size);
  for (let at = 0; at < size; ) at += fs.readSync(source, bytes, at, size - at);
  return buffer;
}

function int(low, high) {
  const range = high - low;
  const even = HIGHEST - (HIGHEST % range);
  for (;;) {
    const drawn = fill(Buffer.alloc(6), [0, 6]).readUIntBE(0, 6);
    if (drawn < even) return low + (drawn % range);
  }
}

function uuid() {
  const bytes = fill(Buffer.alloc(16), [0, 16]);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

module.exports = { drawFromSystem };
