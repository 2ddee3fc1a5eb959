"""The Python kernel of the code interpreter: ``python3 main.py [--preload MODULE,MODULE]``.

It reads requests from standard input and writes events to standard output, one JSON object a line;
``sandlot_kernel.wire`` says which. One process is one context.
"""

import sys

from sandlot_kernel.kernel import main

if __name__ == "__main__":
    # As in any interactive Python, modules are looked for in the working directory first, and this folder
    # is not a place for user code to import from.
    sys.path[0] = ""
    main(sys.argv[1:])
