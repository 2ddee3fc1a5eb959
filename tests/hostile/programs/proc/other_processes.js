// tries: Find processes of the host or of neighbours in /proc, by number and by counting up to 100,000.
// user: root
// timeout: 30
// gvisor: contained
// container: contained
const fs = require("node:fs");
const { contained, escaped } = require("./verdict.js");

const names = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
for (const name of [...names, process.env.HOST_PID]) {
  try {
    const environment = fs.readFileSync(`/proc/${name}/environ`, "latin1");
    const command = fs.readFileSync(`/proc/${name}/cmdline`, "latin1");
    if (/sandlot\.cli|runsc|runc|http\.server/.test(command)) escaped(`a process of the host: ${command}`);
    if (environment.includes("host-secret")) escaped("an environment of the host");
  } catch (error) {
    console.log(name, error.code);
  }
}
let signalled = 0;
for (let pid = 1; pid <= 100_000; pid++) {
  try {
    process.kill(pid, 0);
    signalled++;
  } catch {
    continue;
  }
}
if (signalled > 60) escaped(`${signalled} processes can be signalled`);
contained(`${names.length} processes, all the sandbox's; ${signalled} numbers answer a signal`);
