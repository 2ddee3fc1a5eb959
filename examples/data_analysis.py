"""A file goes in, code that nobody reviewed works on it, a chart and a table come out.

Usage: python examples/data_analysis.py DATA.csv [FOLDER]
"""

import base64
import sys
from pathlib import Path

from sandlot import Sandbox

CODE = """
import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv("data.csv").drop_duplicates()
table.describe().to_csv("summary.csv")
table.select_dtypes("number").hist(figsize=(10, 7))
plt.show()
table.shape
"""


def analyse(data: Path, folder: Path) -> None:
    """Write ``summary.csv`` and ``chart.png`` about ``data`` into ``folder``."""
    with Sandbox.create("code-interpreter", internet=False, memory_mib=2048) as sandbox:
        sandbox.files.upload(data, "data.csv")
        execution = sandbox.run_code(CODE, timeout=120)
        if execution.error:
            sys.exit(f"the code failed: {execution.error}")
        print("rows and columns:", execution.text)
        print(sandbox.files.download("summary.csv", folder / "summary.csv"))
        for result in execution.results:
            if result.png:
                chart = folder / "chart.png"
                chart.write_bytes(base64.b64decode(result.png))
                print(chart)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    analyse(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "."))
