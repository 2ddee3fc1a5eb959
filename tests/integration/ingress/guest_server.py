"""Runs inside the sandbox: a web server on port 3000 of sockets and nothing else, polite and hostile.

On other ports each connection is answered with the bytes of the file named on the command line: PORT=FILE.
"""

import asyncio
import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CHUNK = bytes(range(256)) * 256
gone = asyncio.Event()
hung = asyncio.Event()


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    method, target, _ = lines[0].split(" ")
    return method, target, [line.split(": ", 1) for line in lines[1:]]


async def body_of(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).strip(), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    left = int(headers.get("content-length", 0))
    while left and (piece := await reader.read(min(left, 65536))):
        left -= len(piece)
        yield piece


def head(status, *lines):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


async def echo(method, target, raw, headers, reader, writer):
    digest, size = hashlib.sha256(), 0
    async for piece in body_of(reader, headers):
        digest.update(piece)
        size += len(piece)
    seen = {"method": method, "target": target, "headers": raw, "size": size, "sha256": digest.hexdigest()}
    body = json.dumps(seen).encode()
    lines = ["content-type: application/json", f"content-length: {len(body)}", "set-cookie: a=1",
             "set-cookie: b=2", "connection: x-hop", "x-hop: 1", "x-kept: yes"]  # fmt: skip
    writer.write(head("200 OK", *lines) + (b"" if method == "HEAD" else body))


async def chunks(target, writer, *, count):
    writer.write(head("200 OK", "transfer-encoding: chunked"))
    for _ in range(count):
        writer.write(b"%x\r\n" % len(CHUNK) + CHUNK + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\nx-trailer: 1\r\n\r\n")


async def events(reader, writer):
    """One event at once, and one more for each line that is sent to /poke."""
    writer.write(head("200 OK", "content-type: text/event-stream") + b"data: 0\n\n")
    number = 0
    ended = asyncio.ensure_future(reader.read())
    while not ended.done():
        poke = asyncio.ensure_future(pokes.get())
        await asyncio.wait({poke, ended}, return_when=asyncio.FIRST_COMPLETED)
        if poke.done():
            number += 1
            writer.write(f"data: {number}\n\n".encode())
        poke.cancel()
    gone.set()


def frame(opcode, data, fin=True):
    size = len(data)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + struct.pack("!H", size) if size < 65536 else b"\x7f" + struct.pack("!Q", size)
    return bytes([opcode | (0x80 if fin else 0)]) + length + data


async def read_frame(reader):
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    keys = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return first & 0x0F, (int.from_bytes(data, "big") ^ keys).to_bytes(size, "big")


async def websocket(target, headers, reader, writer):
    accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + GUID).digest()).decode()
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    chosen = [f"sec-websocket-protocol: {offered[-1]}"] if offered[-1] else []
    lines = [
        "upgrade: websocket",
        "connection: Upgrade",
        f"sec-websocket-accept: {accept}",
        "set-cookie: w=1",
    ]
    writer.write(head("101 Switching Protocols", *lines, *chosen) + frame(1, json.dumps(headers).encode()))
    while True:
        opcode, data = await read_frame(reader)
        if opcode == 8:
            said.append(struct.unpack("!H", data[:2])[0] if data else None)
            writer.write(frame(8, data))
            return
        if data == b"cut":
            return
        if data == b"close":
            writer.write(frame(8, struct.pack("!H", 4321) + b"so long"))
            return
        if data == b"nonsense":
            writer.write(b"\xff\xff\xff\xff")
        elif data == b"not text":
            writer.write(frame(1, b"\xff\xfe"))
        elif data == b"fragments":
            writer.write(frame(2, b"one ", fin=False) + frame(9, b"?") + frame(0, b"two", fin=True))
        elif data == b"too big":
            writer.write(frame(2, bytes(9 * 1024 * 1024)))
            await writer.drain()
        elif opcode in (1, 2):
            writer.write(frame(opcode, data))
            await writer.drain()


async def serve(reader, writer):
    method, target, raw = await read_head(reader)
    headers = {name.lower(): value for name, value in raw}
    path = target.partition("?")[0]
    if path == "/chunks":
        await chunks(target, writer, count=int(target.partition("=")[2]))
    elif path == "/events":
        await events(reader, writer)
    elif path == "/poke":
        pokes.put_nowait(None)
        writer.write(head("204 No Content", "content-length: 0"))
    elif path == "/gone":
        await gone.wait()
        writer.write(head("200 OK", "content-length: 4") + b"gone")
    elif path == "/said":
        body = json.dumps(said).encode()
        writer.write(head("200 OK", f"content-length: {len(body)}") + body)
    elif path == "/unmodified":
        writer.write(head("304 Not Modified", "content-length: 77", 'etag: "x"'))
    elif path == "/refused":
        body = b"no sockets here"
        writer.write(head("403 Forbidden", f"content-length: {len(body)}", "x-why: because") + body)
    elif path == "/early":
        writer.write(head("413 Too Large", "content-length: 4", "connection: close") + b"much")
    elif path == "/hung":
        await hung.wait()
        writer.write(head("204 No Content", "content-length: 0"))
    elif path == "/hang":
        hung.set()
        await asyncio.Event().wait()
    elif path == "/ws":
        await websocket(target, headers, reader, writer)
    else:
        await echo(method, target, raw, headers, reader, writer)


async def handle(reader, writer):
    try:
        await serve(reader, writer)
        await writer.drain()
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


def answering(data):
    async def answer(reader, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


async def main():
    await asyncio.start_server(handle, "127.0.0.1", 3000)
    for argument in sys.argv[1:]:
        port, _, file = argument.partition("=")
        await asyncio.start_server(answering(Path(file).read_bytes()), "127.0.0.1", int(port))
    sys.stdout.write("ready")
    sys.stdout.flush()
    await asyncio.Event().wait()


pokes = asyncio.Queue()
said = []
asyncio.run(main())
