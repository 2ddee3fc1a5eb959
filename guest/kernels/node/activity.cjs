// What user code has left behind that goes on by itself while no request comes. The host lets a sandbox stand
// still whose processes only wait for it, so what cannot be told counts as at work.
"use strict";

const fs = require("node:fs");

class Activity {
  constructor() {
    this._own = null;
    this._unreferenced = trackUnreferencedTimers();
  }

  /** In words; nothing where nothing goes on. */
  reasons() {
    this._own ??= count(["MessagePort"]);
    const reasons = [...this._resources(), ...sockets()];
    for (const timer of this._unreferenced) {
      if (timer._destroyed || timer.hasRef()) this._unreferenced.delete(timer);
      else reasons.push("a timer");
    }
    return reasons.slice(0, 16);
  }

  *_resources() {
    for (const [kind, number] of count(process.getActiveResourcesInfo())) {
      if (number > (this._own.get(kind) ?? 0)) yield `${number} ${kind}`;
    }
  }
}

/** They do not keep a program alive, and so Node does not list them; but they fire. */
function trackUnreferencedTimers() {
  const tracked = new Set();
  const probe = setTimeout(() => {}, 0);
  const prototype = Object.getPrototypeOf(probe);
  clearTimeout(probe);
  const { unref } = prototype;
  prototype.unref = function () {
    tracked.add(this);
    return unref.call(this);
  };
  return tracked;
}

function count(kinds) {
  const counts = new Map();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

function* sockets() {
  for (const name of fs.readdirSync("/proc/self/fd")) {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${name}`).startsWith("socket:")) yield "a socket";
    } catch {
      // closed meanwhile, as the listing's own is
    }
  }
}

module.exports = { Activity };
