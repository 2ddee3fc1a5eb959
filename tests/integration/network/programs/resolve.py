"""A resolver: ADDRESS PORT TAG. TAG is the address in all its answers. Says each query."""

import socket
import struct
import sys
import threading

import dns.flags
import dns.message
import dns.rrset

address, port, answer = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def reply(wire, protocol):
    query = dns.message.from_wire(wire)
    name = query.question[0].name
    print(protocol, name, flush=True)
    response = dns.message.make_response(query)
    if name.labels[0] == b"large" and protocol == "udp":
        response.flags |= dns.flags.TC
    else:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", answer))
    return response.to_wire()


def serve_tcp(listener):
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            (length,) = struct.unpack("!H", stream.read(2))
            response = reply(stream.read(length), "tcp")
            connection.sendall(struct.pack("!H", len(response)) + response)


datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((address, port))
threading.Thread(target=serve_tcp, args=(socket.create_server((address, port)),), daemon=True).start()
print("ready", flush=True)
while True:
    data, peer = datagrams.recvfrom(4096)
    datagrams.sendto(reply(data, "udp"), peer)
