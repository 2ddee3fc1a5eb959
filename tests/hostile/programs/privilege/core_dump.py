# tries: Have a core dump written outside, to the host's crash collector or a place of its choice.
# user: root
# disk: 128
# gvisor: contained
# container: contained
import os
import resource
import signal

from verdict import contained

resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)[1:] * 2)
os.chdir("/tmp")
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
_, status = os.waitpid(child, 0)
contained(
    f"it died of signal {os.WTERMSIG(status)}, files here: {[n for n in os.listdir('.') if 'core' in n]}"
)
