"""Rich results: every format, tables, figures and the data of charts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sandlot.core.interpreter import Result
from tests.integration.interpreter.conftest import Lab

PLOT = "import matplotlib.pyplot as plt\n"


async def only(lab: Lab, code: str) -> Result:
    execution = await lab.run(code)
    assert execution.error is None, execution.error
    [result] = execution.results
    return result


async def chart(lab: Lab, code: str) -> dict[str, Any]:
    result = await only(lab, PLOT + code + "\nplt.show()")
    assert result.png is not None
    assert base64.b64decode(result.png).startswith(b"\x89PNG")
    assert not result.is_main
    assert result.chart is not None
    return result.chart


@pytest.mark.parametrize(
    ("expression", "field", "value"),
    [
        ("HTML('<b>x</b>')", "html", "<b>x</b>"),
        ("Markdown('# x')", "markdown", "# x"),
        ("Latex('$x$')", "latex", "$x$"),
        ("JSON({'a': [1, None, float('nan')]})", "json", {"a": [1, None, None]}),
        ("Javascript('alert(1)')", "javascript", "alert(1)"),
    ],
)
async def test_display_objects(lab: Lab, expression: str, field: str, value: object) -> None:
    result = await only(lab, f"from IPython.display import *\n{expression}")
    assert getattr(result, field) == value
    assert result.is_main
    shown = await only(lab, f"display({expression})")
    assert getattr(shown, field) == value
    assert not shown.is_main


async def test_svg_image_and_pdf(lab: Lab) -> None:
    result = await only(
        lab, "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')"
    )
    assert result.svg is not None
    assert result.svg.startswith("<svg")
    result = await only(lab, "class P:\n    def _repr_pdf_(self): return b'%PDF-'\nP()")
    assert result.pdf == base64.b64encode(b"%PDF-").decode()


async def test_a_class_with_representations_of_its_own(lab: Lab) -> None:
    result = await only(
        lab,
        "class R:\n"
        "    def __repr__(self): return 'R!'\n"
        "    def _repr_html_(self): return '<i>R</i>'\n"
        "    def _repr_mimebundle_(self, **kw):\n"
        "        return {'text/x-special': 's', 'application/x+json': {'a': 1}}\n"
        "R()",
    )
    assert (result.text, result.html) == ("R!", "<i>R</i>")
    assert result.extra == {"text/x-special": "s", "application/x+json": {"a": 1}}


async def test_a_representation_that_fails_is_told_but_does_not_end_the_run(lab: Lab) -> None:
    execution = await lab.run(
        "class B:\n    def _repr_html_(self): raise RuntimeError('bad')\n"
        "    def __repr__(self): return 'B!'\nB()"
    )
    assert execution.error is None
    assert execution.text == "B!"
    assert "RuntimeError: bad" in execution.stderr


async def test_several_results(lab: Lab) -> None:
    execution = await lab.run("display(1)\ndisplay(2)\n3")
    assert [(result.text, result.is_main) for result in execution.results] == [
        ("1", False),
        ("2", False),
        ("3", True),
    ]


async def test_a_display_that_is_updated_is_told_once_more_with_its_last_state(lab: Lab) -> None:
    execution = await lab.run("h = display('start', display_id='bar')\nfor i in range(1000): h.update(i)")
    first, last = execution.results
    assert (first.text, last.text) == ("'start'", "999")
    assert last.extra == {"application/vnd.sandlot.display+json": {"display_id": "bar", "update": True}}


async def test_clear_output_takes_nothing_back(lab: Lab) -> None:
    execution = await lab.run(
        "from IPython.display import clear_output\nprint('a'); clear_output(wait=True); print('b')"
    )
    assert execution.stdout == "a\nb\n"


async def test_a_result_that_is_too_large_says_so(lab: Lab) -> None:
    result = await only(lab, "from IPython.display import HTML\nHTML('x' * 40_000_000)")
    assert result.html is None
    assert result.text is not None
    assert "html is left out" in result.text


async def test_dataframe(lab: Lab) -> None:
    result = await only(
        lab,
        "import pandas as pd\n"
        "pd.DataFrame({'n': [1, 2], 'f': [0.5, float('nan')], 's': ['a', None],\n"
        "              't': pd.to_datetime(['2024-05-01', None])})",
    )
    assert result.text is not None
    assert "0.5" in result.text
    assert result.html is not None
    assert "<table" in result.html
    assert result.data == {
        "n": [1, 2],
        "f": [0.5, None],
        "s": ["a", None],
        "t": ["2024-05-01T00:00:00", None],
    }


async def test_series_and_large_frames(lab: Lab) -> None:
    result = await only(lab, "import pandas as pd\npd.Series([1, 2], name='n')")
    assert result.data == {"n": [1, 2]}
    result = await only(lab, "pd.DataFrame({'n': range(1_000_000)})")
    assert result.data is None
    assert result.html is not None


async def test_numpy_pillow_sympy(lab: Lab) -> None:
    assert (await only(lab, "import numpy as np\nnp.arange(3)")).text == "array([0, 1, 2])"
    image = await only(lab, "from PIL import Image\nImage.new('RGB', (2, 2))")
    assert image.png is not None
    assert image.jpeg is not None
    formula = await only(lab, "import sympy\nsympy.Symbol('x') ** 2 / 3")
    assert formula.latex == r"$\displaystyle \frac{x^{2}}{3}$"


async def test_plotly_does_not_look_for_a_browser(lab: Lab) -> None:
    code = (
        "import plotly.graph_objects as go\n"
        "figure = go.Figure(go.Bar(x=['a'], y=[1]), layout={'title': 'T'})\n"
    )
    for expression in ("figure", "figure.show()"):
        result = await only(lab, code + expression)
        assert result.html is not None
        assert "plotly" in result.html
        assert result.json["layout"]["title"]["text"] == "T"
        assert result.extra is not None
        assert "application/vnd.plotly.v1+json" in result.extra
        assert result.is_main == (expression == "figure")


async def test_line_chart(lab: Lab) -> None:
    assert await chart(
        lab,
        "plt.plot([1, 2], [3, 4], label='rising')\nplt.plot([1, 2], [4, 3])\n"
        "plt.title('T'); plt.xlabel('Time (s)'); plt.ylabel('y'); plt.yscale('log')\n"
        "plt.xticks([1, 2], ['one', 'two'])",
    ) | {"y_ticks": None, "y_tick_labels": None} == {
        "type": "line",
        "title": "T",
        "x_label": "Time (s)",
        "y_label": "y",
        "x_unit": "s",
        "y_unit": None,
        "x_ticks": [1.0, 2.0],
        "x_tick_labels": ["one", "two"],
        "x_scale": "linear",
        "y_ticks": None,
        "y_tick_labels": None,
        "y_scale": "log",
        "elements": [
            {"label": "rising", "points": [[1.0, 3.0], [2.0, 4.0]]},
            {"label": "Line 1", "points": [[1.0, 4.0], [2.0, 3.0]]},
        ],
    }


async def test_scatter_chart(lab: Lab) -> None:
    found = await chart(lab, "plt.scatter([1, 2], [3, 4], label='s')\nplt.plot([5], [6], 'o', label='m')")
    assert found["type"] == "scatter"
    assert found["elements"] == [
        {"label": "m", "points": [[5.0, 6.0]]},
        {"label": "s", "points": [[1.0, 3.0], [2.0, 4.0]]},
    ]


async def test_dates_and_categories(lab: Lab) -> None:
    found = await chart(
        lab,
        "import datetime as dt\nplt.plot([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], ['low', 'high'])",
    )
    assert (found["x_scale"], found["y_scale"]) == ("datetime", "categorical")
    assert found["elements"][0]["points"] == [["2024-01-01T00:00:00", "low"], ["2024-01-02T00:00:00", "high"]]


async def test_bar_chart(lab: Lab) -> None:
    found = await chart(
        lab,
        "plt.bar(['a', 'b'], [1, 2], label='g')\nplt.bar(['a', 'b'], [3, 4], bottom=[1, 2], label='h')",
    )
    assert found["type"] == "bar"
    assert found["elements"] == [
        {"label": "a", "group": "g", "value": 1.0},
        {"label": "b", "group": "g", "value": 2.0},
        {"label": "a", "group": "h", "value": 3.0},
        {"label": "b", "group": "h", "value": 4.0},
    ]
    found = await chart(lab, "plt.barh(['a', 'b'], [1, 2])")
    assert [(bar["label"], bar["value"]) for bar in found["elements"]] == [("a", 1.0), ("b", 2.0)]


async def test_pie_chart(lab: Lab) -> None:
    found = await chart(lab, "plt.pie([1, 3], labels=['a', 'b']); plt.title('P')")
    assert found == {
        "type": "pie",
        "title": "P",
        "elements": [
            {"label": "a", "angle": 90.0, "radius": 1.0},
            {"label": "b", "angle": 270.0, "radius": 1.0},
        ],
    }


async def test_box_and_whisker_chart(lab: Lab) -> None:
    found = await chart(lab, "plt.boxplot([[1, 2, 3, 4, 50], [2, 3, 4]], tick_labels=['p', 'q'])")
    assert found["type"] == "box_and_whisker"
    assert found["elements"] == [
        {
            "label": "p",
            "min": 1.0,
            "first_quartile": 2.0,
            "median": 3.0,
            "third_quartile": 4.0,
            "max": 4.0,
            "outliers": [50.0],
        },
        {
            "label": "q",
            "min": 2.0,
            "first_quartile": 2.5,
            "median": 3.0,
            "third_quartile": 3.5,
            "max": 4.0,
            "outliers": [],
        },
    ]


async def test_superchart(lab: Lab) -> None:
    found = await chart(
        lab, "figure, (a, b) = plt.subplots(1, 2); a.plot([1], [2]); b.bar(['x'], [1]); figure.suptitle('S')"
    )
    assert (found["type"], found["title"]) == ("superchart", "S")
    assert [element["type"] for element in found["elements"]] == ["line", "bar"]


async def test_unknown_chart_and_too_many_points(lab: Lab) -> None:
    assert await chart(lab, "plt.imshow([[1, 2], [3, 4]])") == {
        "type": "unknown",
        "title": None,
        "elements": [],
    }
    result = await only(lab, "plt.plot(range(200_000)); plt.show()")
    assert result.chart is None
    assert result.png is not None


async def test_pandas_plots_are_charts_too(lab: Lab) -> None:
    found = await chart(lab, "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': [3, 4]}).plot()")
    assert [element["label"] for element in found["elements"]] == ["a", "b"]
    found = await chart(lab, "pd.DataFrame({'v': [1, 2, 3]}).plot.box()")
    assert found["type"] == "box_and_whisker"


async def test_charts_are_json(lab: Lab) -> None:
    found = await chart(lab, "import numpy as np\nplt.plot(np.array([1, np.nan, np.inf]), np.arange(3))")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["elements"][0]["points"] == [[1.0, 0.0], [None, 1.0], [None, 2.0]]


async def test_figures_are_shown_once_however_they_are_asked_for(lab: Lab) -> None:
    draw = PLOT + "figure, axes = plt.subplots(); axes.plot([1])\n"
    for code in ("", "plt.show()", "figure", "display(figure)", "figure.show()", "%matplotlib inline"):
        execution = await lab.run(draw + code)
        assert [result.png is not None for result in execution.results].count(True) == 1, code
    assert (await lab.run("plt.get_fignums()")).text == "[]"


async def test_a_captured_cell_shows_nothing(lab: Lab) -> None:
    execution = await lab.run("%%capture kept\n" + PLOT + "plt.plot([1])\nprint('x')\n1 + 1")
    assert (execution.results, execution.stdout) == ([], "")
    assert await lab.value("kept.stdout, len(kept.outputs)") == "('x\\n', 2)"


async def test_agg_chosen_by_the_code_still_shows(lab: Lab) -> None:
    execution = await lab.run("import matplotlib\nmatplotlib.use('Agg')\n" + PLOT + "plt.plot([1]);")
    assert [result.png is not None for result in execution.results] == [True]


async def test_an_error_after_plotting_keeps_the_figure(lab: Lab) -> None:
    execution = await lab.run(PLOT + "plt.plot([1])\n1 / 0")
    assert execution.error is not None
    assert [result.png is not None for result in execution.results] == [True]
