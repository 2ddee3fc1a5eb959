# tries: Make folders so deep that no path reaches them, with the longest names, for whoever must clean up.
# gvisor: limited or contained
# container: limited or contained
import os

from verdict import contained

depth = 0
try:
    while depth < 3000:
        os.mkdir("n" * 255)
        os.chdir("n" * 255)
        depth += 1
except OSError as error:
    contained(f"{depth} deep, then {error.strerror}")
contained(f"{depth} deep: a path of {depth * 256} bytes")
