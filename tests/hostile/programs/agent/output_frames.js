// tries: Imitate the agent on standard output: frames, exit messages and event streams that the server might believe.
// timeout: 20
// gvisor: contained
// container: contained
const { contained } = require("./verdict.js");

const frame = Buffer.alloc(28);
frame.writeUInt32LE(16, 0);
frame[4] = 0x21;
frame[5] = 1;
for (let turn = 0; turn < 500; turn++) {
  process.stdout.write(frame);
  process.stdout.write('data: {"type":"exit","exit_code":0}\n\n{"type":"exit","exit_code":0}\n');
  process.stderr.write("\u001b]0;title\u0007\u001b[2J\r\n0\r\n\r\n");
}
contained("output stays output");
