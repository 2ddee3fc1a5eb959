"""Try every target at once: [[protocol, host, port], ...] → what each answered, or null."""

import asyncio
import json
import os
import socket
import struct
import sys

PATIENCE = 1.5


async def tcp(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello\n")
    answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer


async def udp(host, port):
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)[0][4])
        for _ in range(2):
            await loop.sock_sendall(sock, b"hello\n")
        return (await loop.sock_recv(sock, 1000)).decode().strip()


async def icmp(host, port):
    loop = asyncio.get_running_loop()
    version6 = ":" in host
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    request, reply = (128, 129) if version6 else (8, 0)
    token = os.urandom(8)
    body = struct.pack("!HH", os.getpid() & 0xFFFF, 1) + token
    total = sum(struct.unpack("!6H", body)) + (request << 8)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.setblocking(False)
        address = socket.getaddrinfo(host, None, family, socket.SOCK_RAW)[0][4]
        sock.sendto(struct.pack("!BBH", request, 0, ~total & 0xFFFF) + body, address)
        while True:
            packet = await loop.sock_recv(sock, 2000)
            message = packet if version6 else packet[(packet[0] & 15) * 4 :]
            if message[0] == reply and message[8:16] == token:
                return "icmp"


async def attempt(protocol, host, port):
    try:
        return await asyncio.wait_for({"tcp": tcp, "udp": udp, "icmp": icmp}[protocol](host, port), PATIENCE)
    except OSError:
        return None


async def main():
    print(
        json.dumps(await asyncio.gather(*(attempt(*target) for target in json.loads(sys.argv[1])))),
        flush=True,
    )


asyncio.run(main())
