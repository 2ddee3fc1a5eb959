# tries: Learn about others by their noise: times a busy loop for a second, and looks for what the machine tells of it.
# gvisor: seen or contained
# container: seen or contained
import time

from verdict import seen

gaps, end = [], time.perf_counter() + 1
last = time.perf_counter()
while last < end:
    now = time.perf_counter()
    if now - last > 0.001:
        gaps.append(now - last)
    last = now
seen(f"{len(gaps)} pauses of more than a millisecond: others take turns on the processor")
