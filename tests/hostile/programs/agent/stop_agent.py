# tries: Stop the agent with every signal there is, and send it stop and continue without end.
# user: root
# gvisor: contained or ended
# container: contained
import os
import signal

from verdict import contained

for number in range(1, 65):
    if number == signal.SIGKILL:
        continue
    try:
        os.kill(1, number)
    except OSError:
        continue
for _ in range(2000):
    os.kill(1, signal.SIGSTOP)
    os.kill(1, signal.SIGCONT)
contained("the agent is there still")
