// tries: Make files larger than any disk, of holes, and have them counted.
// disk: 128
// gvisor: contained
// container: contained
const fs = require("node:fs");
const { contained, denied } = require("./verdict.js");

try {
  const file = fs.openSync("giant", "w");
  fs.ftruncateSync(file, 15 * 2 ** 40);
  fs.writeSync(file, Buffer.from("end"), 0, 3, 14 * 2 ** 40);
  contained(`a file of ${fs.fstatSync(file).size} bytes, ${fs.fstatSync(file).blocks * 512} on disk`);
} catch (error) {
  denied(error.code);
}
