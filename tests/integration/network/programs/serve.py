"""Answer on every address, by TCP and UDP, with the peer's address. Say "ready", then each peer."""

import selectors
import socket
import sys

IP_PKTINFO = 8


def answer_from(item):
    level, kind, data = item
    return level, kind, bytes(4) + data[4:8] + bytes(4)


port = int(sys.argv[1])
version6 = len(sys.argv) > 2
family, anywhere = (socket.AF_INET6, "::") if version6 else (socket.AF_INET, "0.0.0.0")
listener = socket.create_server((anywhere, port), family=family, backlog=200)
datagrams = socket.socket(family, socket.SOCK_DGRAM)
datagrams.bind((anywhere, port))
if not version6:
    datagrams.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
selector.register(datagrams, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            selector.register(connection, selectors.EVENT_READ)
        elif key.fileobj is datagrams:
            data, ancillary, _, peer = datagrams.recvmsg(2000, 200)
            print("udp", peer[0], peer[1], data.decode(errors="replace").strip(), flush=True)
            # The answer must come from the address that was asked, not from the nearest one.
            datagrams.sendmsg([f"{peer[0]}\n".encode()], [answer_from(item) for item in ancillary], 0, peer)
        else:
            connection = key.fileobj
            try:
                data = connection.recv(2000)
                peer = connection.getpeername()[0]
                if data:
                    print("tcp", peer, data.decode(errors="replace").strip(), flush=True)
                    connection.sendall(f"{peer}\n".encode())
                    continue
            except OSError:
                pass
            selector.unregister(connection)
            connection.close()
