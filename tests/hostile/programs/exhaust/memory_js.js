// tries: Grow a heap and buffers outside of it until something gives.
// gvisor: ended or limited
// container: ended or limited
// memory: 256
// timeout: 30
const { limited } = require("./verdict.js");

const held = [];
try {
  for (;;) held.push(Buffer.alloc(4 << 20, 1));
} catch (error) {
  limited(`${held.length * 4} MiB, then ${error.code}`);
}
