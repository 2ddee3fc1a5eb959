"""The kernel's modules, imported as the kernel does. Those here need the standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "guest" / "kernels" / "python"))
