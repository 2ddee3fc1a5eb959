"""Take memory, and touch every page of it, until something gives."""

hoard: list[bytearray] = []
while len(hoard) < 1024:
    hoard.append(bytearray(b"x" * (16 << 20)))
    print(len(hoard) * 16, "MiB", flush=True)
