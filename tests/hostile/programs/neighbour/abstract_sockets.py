# tries: Meet neighbours at abstract socket names, which belong to a network and not to a file system.
# timeout: 15
# gvisor: denied
# container: denied
import socket

from verdict import denied, escaped

mine = []
for name in ("sandlot-sudo-1023", "sandlot-meeting", "dbus", "X11"):
    talk = socket.socket(socket.AF_UNIX)
    try:
        talk.bind(f"\0{name}-{id(talk)}")
        mine.append(talk.getsockname().decode())
    except OSError:
        continue
known = [line.split()[-1] for line in open("/proc/net/unix") if "@" in line]
strange = [name for name in known if "sandlot-sudo" not in name and not any(one[1:] in name for one in mine)]
if strange:
    escaped(f"sockets of others: {strange}")
denied("only its own names are there")
