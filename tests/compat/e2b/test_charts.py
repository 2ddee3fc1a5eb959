"""Charts as data: what matplotlib drew comes back as the classes that E2B's client has for it."""

from __future__ import annotations

import pytest
from e2b_code_interpreter import Sandbox
from e2b_code_interpreter.charts import (
    BarChart,
    BoxAndWhiskerChart,
    Chart,
    LineChart,
    PieChart,
    ScaleType,
    ScatterChart,
    SuperChart,
)


def drawn(code: Sandbox, program: str) -> Chart:
    execution = code.run_code(f"import matplotlib.pyplot as plt\n{program}\nplt.show()")
    assert execution.error is None, execution.error
    [result] = execution.results
    assert result.png
    assert result.chart is not None
    return result.chart


def test_line(code: Sandbox) -> None:
    chart = drawn(
        code,
        "plt.plot([1, 2, 3], [4, 5, 6], label='up')\nplt.plot([1, 2], [5, 4], label='down')\n"
        "plt.xlabel('Time (s)'); plt.ylabel('Speed (m/s)'); plt.title('Growth'); plt.yscale('log')",
    )
    assert isinstance(chart, LineChart)
    assert (chart.title, chart.x_label, chart.x_unit) == ("Growth", "Time (s)", "s")
    assert (chart.y_label, chart.y_unit) == ("Speed (m/s)", "m/s")
    assert (chart.x_scale, chart.y_scale) == (ScaleType.LINEAR, ScaleType.LOG)
    assert len(chart.x_ticks) == len(chart.x_tick_labels)
    assert [(each.label, each.points) for each in chart.elements] == [
        ("up", [(1, 4), (2, 5), (3, 6)]),
        ("down", [(1, 5), (2, 4)]),
    ]


def test_line_over_dates(code: Sandbox) -> None:
    chart = drawn(
        code,
        "import datetime\nplt.plot([datetime.date(2026, 1, day) for day in (1, 2)], [1, 2], label='daily')",
    )
    assert isinstance(chart, LineChart)
    assert chart.x_scale == ScaleType.DATETIME
    assert str(chart.elements[0].points[0][0]).startswith("2026-01-01")


def test_scatter(code: Sandbox) -> None:
    chart = drawn(code, "plt.scatter([1, 2], [3, 4], label='a')\nplt.scatter([5], [6], label='b')")
    assert isinstance(chart, ScatterChart)
    assert [(each.label, each.points) for each in chart.elements] == [
        ("a", [(1, 3), (2, 4)]),
        ("b", [(5, 6)]),
    ]


def test_bar(code: Sandbox) -> None:
    chart = drawn(code, "plt.bar(['Ulm', 'Bonn'], [126, 330], label='people')\nplt.title('Cities')")
    assert isinstance(chart, BarChart)
    assert chart.title == "Cities"
    assert [(each.label, each.group, each.value) for each in chart.elements] == [
        ("Ulm", "people", 126),
        ("Bonn", "people", 330),
    ]


def test_pie(code: Sandbox) -> None:
    chart = drawn(code, "plt.pie([1, 3], labels=['small', 'large'])")
    assert isinstance(chart, PieChart)
    assert [(each.label, each.angle, each.radius) for each in chart.elements] == [
        ("small", pytest.approx(90), 1),
        ("large", pytest.approx(270), 1),
    ]


def test_box_and_whisker(code: Sandbox) -> None:
    chart = drawn(code, "plt.boxplot([[1, 2, 3, 4, 100]], labels=['all'])")
    assert isinstance(chart, BoxAndWhiskerChart)
    [box] = chart.elements
    assert (box.label, box.min, box.first_quartile, box.median) == ("all", 1, 2, 3)
    assert (box.third_quartile, box.max, box.outliers) == (4, 4, [100])


def test_several_axes(code: Sandbox) -> None:
    chart = drawn(
        code,
        "figure, (left, right) = plt.subplots(1, 2)\nfigure.suptitle('Both')\n"
        "left.plot([1, 2], [3, 4])\nright.bar(['a'], [1])",
    )
    assert isinstance(chart, SuperChart)
    assert chart.title == "Both"
    assert [type(each) for each in chart.elements] == [LineChart, BarChart]


def test_what_has_no_class(code: Sandbox) -> None:
    chart = drawn(code, "plt.imshow([[1, 2], [3, 4]])")
    assert (type(chart), chart.type.value) == (Chart, "unknown")


def test_no_chart_without_a_figure(code: Sandbox) -> None:
    [result] = code.run_code("{'type': 'line'}").results
    assert result.chart is None
