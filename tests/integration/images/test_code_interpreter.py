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


def test_every_kernel_has_its_engine_and_its_files(enter: Enter) -> None:
    for language, command in template("code-interpreter").config.kernels.items():
        paths = [word.rpartition("=")[2].removeprefix("@") for word in command]
        found = enter("code-interpreter", "ls", *(path for path in paths if path.startswith("/")))
        assert found.returncode == 0, (language, found.stderr)


def test_javas_classes_come_from_the_archive_that_was_made_for_them(enter: Enter) -> None:
    command = template("code-interpreter").config.kernels["java"]
    java = command[command.index("/usr/bin/java") :]
    done = enter("code-interpreter", *java[:-1], "-Xlog:class+load", java[-1])
    assert "sandlot.kernel.Main source: shared objects file (top)" in done.stdout


def test_fonts_are_found_already(enter: Enter, tmp_path: Path) -> None:
    plot = 'png("/tmp/p.png", type = "cairo"); plot(1); dev.off()'
    assert enter("code-interpreter", "Rscript", "--vanilla", "-e", plot).returncode == 0
    written = {path.name for path in (tmp_path / "upper").rglob("*") if path.is_file()}
    assert written == {"p.png"}


def test_the_base_below_is_the_base_template() -> None:
    assert template("code-interpreter").layers[-1] == template("base").layers[-1]
