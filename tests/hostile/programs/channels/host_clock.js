// tries: Tell the host, and when it was started, by its clocks.
// gvisor: contained or seen
// container: seen: uptime is the host's
const fs = require("node:fs");
const os = require("node:os");
const { contained, seen } = require("./verdict.js");

const uptime = Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]);
if (uptime < 60) contained(`this kernel is ${uptime} seconds old`);
seen(`up ${Math.round(uptime)} s, ${os.cpus().length} processors`);
