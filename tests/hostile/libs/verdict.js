// How a hostile program in JavaScript says what came of it. Uploaded beside it.
const fs = require("node:fs");

function verdict(word, text) {
  fs.writeSync(1, `\nVERDICT ${word} ${text}\n`);
  process.reallyExit(0);
}

const words = ["denied", "contained", "limited", "seen", "escaped"];
for (const word of words) exports[word] = (text) => verdict(word, text);

// Whether the host's files are below a folder: its canary would be.
exports.hostUnder = (root) => fs.existsSync(root.replace(/\/$/, "") + process.env.CANARY);
