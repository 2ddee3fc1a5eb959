// tries: Wait for the host or neighbours to connect: listen on many ports, and broadcast invitations.
// timeout: 20
// gvisor: contained
// container: contained
const dgram = require("node:dgram");
const net = require("node:net");
const { contained, escaped } = require("./verdict.js");

for (let port = 9000; port < 9100; port++) {
  net.createServer((talk) => {
    if (talk.remoteAddress !== "127.0.0.1") escaped(`${talk.remoteAddress} came`);
  }).listen(port, "0.0.0.0");
}
const call = dgram.createSocket("udp4");
call.on("error", () => {});
call.bind(() => {
  call.setBroadcast(true);
  for (const address of ["255.255.255.255", "224.0.0.251", "239.255.255.250"]) call.send("hello", 1900, address, () => {});
});
setTimeout(() => contained("nobody came"), 1500);
