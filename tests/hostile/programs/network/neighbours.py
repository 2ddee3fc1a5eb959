# tries: Connect to the neighbouring sandboxes: their web page, their agent, by TCP, UDP and ping.
# timeout: 30
# gvisor: denied
# container: denied
import os
import socket
import subprocess

from verdict import denied, escaped

for address in os.environ["NEIGHBOURS"].split():
    for port in (8000, 1023, 22):
        try:
            with socket.create_connection((address, port), 1) as talk:
                talk.sendall(b"GET /note HTTP/1.0\r\n\r\n")
                print(talk.recv(500))
                escaped(f"{address}:{port} answers")
        except OSError as error:
            print(address, port, error)
    if subprocess.run(["ping", "-c1", "-W1", address], capture_output=True).returncode == 0:
        escaped(f"{address} answers a ping")
denied("no neighbour answers")
