# tries: Take all memory with a heap that grows until something gives.
# gvisor: ended
# container: ended or limited
from verdict import limited

held = []
try:
    while True:
        held.append(bytearray(b"x" * (1 << 20)))
except MemoryError:
    limited(f"{len(held)} MiB")
