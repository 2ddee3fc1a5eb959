"""What a user finds in the code-interpreter template."""

from __future__ import annotations

from pathlib import Path

from tests.integration.images.conftest import Enter, template

PACKAGES = """
IPython numpy pandas pyarrow scipy statsmodels.api sklearn sympy networkx duckdb matplotlib.pyplot PIL plotly
seaborn bs4 lxml openpyxl pypdf docx pptx yaml tabulate xlsxwriter httpx requests tqdm
"""


def test_every_package_imports_as_the_user(enter: Enter) -> None:
    done = enter("code-interpreter", "python3", "-W", "ignore", "-c", f"import {', '.join(PACKAGES.split())}")
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_table_a_model_and_a_chart(enter: Enter) -> None:
    program = """
import io, numpy as np, pandas as pd, matplotlib.pyplot as plt
from sklearn.linear_model import LinearRegression
frame = pd.DataFrame({"x": np.arange(10.0), "y": 2 * np.arange(10.0) + 1})
model = LinearRegression().fit(frame[["x"]], frame["y"])
buffer = io.BytesIO()
frame.to_parquet(buffer)
frame.plot(x="x", y="y")
plt.savefig("chart.png")
print(round(model.coef_[0], 6), len(pd.read_parquet(buffer)), open("chart.png", "rb").read(4)[1:])
"""
    done = enter("code-interpreter", "bash", "-c", 'cd; exec python3 -c "$1"', "-", program)
    assert done.stdout == "2.0 10 b'PNG'\n", done.stderr


def test_a_first_import_writes_nothing(enter: Enter, tmp_path: Path) -> None:
    """Bytecode and matplotlib's list of fonts are there already, for the user and for root."""
    for uid in (1000, 0):
        assert (
            enter("code-interpreter", "python3", "-c", "import pandas, matplotlib.pyplot", uid=uid).returncode
            == 0
        )
    assert [path for path in (tmp_path / "upper").rglob("*") if path.is_file()] == []


def test_node_and_npm_run(enter: Enter) -> None:
    done = enter("code-interpreter", "bash", "-lc", "node -p '6 * 7' && npm prefix --global && npx --version")
    assert done.stdout.splitlines()[:2] == ["42", "/home/user/.local"], done.stderr


def test_kernels_are_where_the_configuration_says_and_already_compiled(enter: Enter) -> None:
    kernels = template("code-interpreter").config.kernels
    [program] = [word for word in kernels["python"] if word.endswith(".py")]
    done = enter("code-interpreter", *kernels["python"], "--help")
    assert done.returncode == 0, done.stderr
    top = template("code-interpreter").layers[0]
    assert list((top / program.lstrip("/")).parent.rglob("*.pyc")) != []


def test_the_base_below_is_the_base_template() -> None:
    assert template("code-interpreter").layers[-1] == template("base").layers[-1]
