// tries: Reach the host through links in /proc/self and links to the host's path, followed in every way.
// gvisor: denied
// container: denied
const fs = require("node:fs");
const { denied, escaped, hostUnder } = require("./verdict.js");

const canary = process.env.CANARY;
for (const link of ["root", "cwd", "cwd/../../..", "task/1/root", "fd/0/../..", "map_files/../root"]) {
  if (hostUnder(`/proc/self/${link}`)) escaped(`/proc/self/${link} leads out`);
}
const targets = [`${canary}/secret`, `../../../../../..${canary}/secret`, `/proc/1/root${canary}/secret`];
targets.forEach((target, index) => {
  const link = `link${index}`;
  fs.rmSync(link, { force: true });
  fs.symlinkSync(target, link);
  try {
    console.log(fs.readFileSync(link, "utf8"));
    escaped(`${target} was read`);
  } catch (error) {
    console.log(`${target}: ${error.code}`);
  }
});
denied("every link ends in the sandbox, where the host's file is not");
