# tries: Open devices of accelerators and virtual machines: kvm, vhost, tun, dri, nvidia, vfio, btrfs-control.
# user: root
# gvisor: denied
# container: denied
import os

from verdict import denied, escaped

DEVICES = {
    "kvm": (10, 232), "vhost-net": (10, 238), "vhost-vsock": (10, 241), "net/tun": (10, 200), "dri/card0": (226, 0),
    "nvidiactl": (195, 255), "vfio/vfio": (10, 196), "btrfs-control": (10, 234), "mapper/control": (10, 236),
    "uinput": (10, 223), "cuse": (10, 203), "rfkill": (10, 242), "watchdog": (10, 130), "hwrng": (10, 183),
}  # fmt: skip
for name, (major, minor) in DEVICES.items():
    for place in (f"/dev/{name}", f"/tmp/{name.replace('/', '-')}"):
        try:
            if not os.path.exists(place):
                os.mknod(place, 0o20600, os.makedev(major, minor))
            os.close(os.open(place, os.O_RDWR))
        except OSError:
            continue
        if not place.startswith("/dev/net") or os.stat(place).st_rdev != os.makedev(*DEVICES["net/tun"]):
            escaped(f"{place} can be opened")
denied(f"none of {len(DEVICES)} devices")
