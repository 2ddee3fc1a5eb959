// tries: Start processes that start processes, without waiting for any.
// timeout: 6
// pids: 64
// gvisor: stopped or limited or ended
// container: stopped or limited or ended
const { spawn } = require("node:child_process");

process.on("uncaughtException", () => {});
setInterval(() => {
  for (let turn = 0; turn < 20; turn++) spawn("sleep", ["100"], { detached: true }).on("error", () => {});
}, 1);
