# tries: Find a container manager's socket (Docker, containerd, CRI-O, Podman, systemd, D-Bus) and talk to it.
# user: root
# gvisor: denied
# container: denied
import glob
import os
import socket

from verdict import denied, escaped

PLACES = [
    "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock",
    "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/snapd.socket", "/run/udev/control",
    "/run/k3s/containerd/containerd.sock", "/var/lib/kubelet/device-plugins/kubelet.sock", "/dev/log",
    *glob.glob("/run/sandlot-*/**", recursive=True), *glob.glob("/run/**/*.sock", recursive=True),
]  # fmt: skip
ABSTRACT = ["\0/containerd-shim/x.sock", "\0/tmp/.X11-unix/X0", "\0/org/kernel/udev/udevd"]
for place in PLACES + ABSTRACT:
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(1)
        try:
            talk.connect(place)
        except OSError:
            continue
        escaped(f"{place!r} answers")
known = open("/proc/net/unix").read() if os.path.exists("/proc/net/unix") else ""
if "docker" in known or "containerd" in known or "systemd" in known:
    escaped("the host's sockets are in /proc/net/unix")
denied("no manager's socket is there")
