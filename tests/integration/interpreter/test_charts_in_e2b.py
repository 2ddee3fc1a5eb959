"""What matplotlib draws, read by the classes of E2B's own package, which an agent's author has in hand."""

from __future__ import annotations

import json
from typing import Any

from e2b_code_interpreter.charts import ChartType, ScaleType
from e2b_code_interpreter.models import Result

from tests.integration.interpreter.conftest import Lab

FIGURES = {
    "line": "plt.plot([1, 2], [3, 4], label='l'); plt.xlabel('Time (s)'); plt.title('T')",
    "dates": "import datetime as dt\nplt.plot([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], [1, 2])",
    "log": "plt.plot([1, 10], [1, 2]); plt.xscale('log')",
    "scatter": "plt.scatter(['a', 'b'], [1, 2])",
    "bar": "plt.bar(['a', 'b'], [1, 2], label='m'); plt.bar(['a', 'b'], [3, 4], bottom=[1, 2], label='w')",
    "pie": "plt.pie([1, 3], labels=['a', 'b'])",
    "box": "plt.boxplot([[1, 2, 3, 9], [2, 3]])",
    "super": "figure, axes = plt.subplots(1, 2); axes[0].plot([1, 2]); axes[1].pie([1, 1])",
    "image": "plt.imshow([[1, 2]])",
}


async def test_every_chart_is_of_the_class_that_the_package_has_for_it(lab: Lab) -> None:
    found: dict[str, Any] = {}
    for name, code in FIGURES.items():
        execution = await lab.run(f"import matplotlib.pyplot as plt\n{code}\nplt.show()")
        [figure] = [result for result in execution.results if result.chart]
        raw = json.loads(json.dumps({"png": figure.png, "chart": figure.chart}))
        found[name] = Result(**raw).chart
    line = found["line"]
    assert (line.type, line.title, line.x_label, line.x_unit) == (ChartType.LINE, "T", "Time (s)", "s")
    assert [(data.label, data.points) for data in line.elements] == [("l", [(1, 3), (2, 4)])]
    assert found["dates"].x_scale == ScaleType.DATETIME
    assert found["dates"].elements[0].points[1][0] == "2024-01-02T00:00:00"
    assert found["log"].x_scale == ScaleType.LOG
    assert (found["scatter"].type, found["scatter"].x_scale) == (ChartType.SCATTER, ScaleType.CATEGORICAL)
    assert found["scatter"].elements[0].points == [("a", 1), ("b", 2)]
    bars = [(bar.group, bar.label, bar.value) for bar in found["bar"].elements]
    assert bars == [("m", "a", 1), ("m", "b", 2), ("w", "a", 3), ("w", "b", 4)]
    assert [(slice.label, slice.angle) for slice in found["pie"].elements] == [("a", 90), ("b", 270)]
    [one, two] = found["box"].elements
    assert (one.label, one.min, one.median, one.outliers) == ("1", 1, 2.5, [9])
    assert (two.label, two.first_quartile, two.third_quartile) == ("2", 2.25, 2.75)
    parts = [chart.type for chart in found["super"].elements]
    assert (found["super"].type, parts) == (ChartType.SUPERCHART, [ChartType.LINE, ChartType.PIE])
    assert found["image"].type == ChartType.UNKNOWN
