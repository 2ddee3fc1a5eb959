"""What is set up in a library when user code imports it; none is imported for that."""

import importlib.util
import sys

from IPython.display import display

from . import figures, tables


def install(shell):
    """Make matplotlib, pandas, plotly show themselves as results."""
    figures.register(shell)
    tables.register(shell.displays)
    sys.meta_path.insert(
        0,
        _AfterImport(
            {
                "matplotlib": figures.use_backend,
                "matplotlib.axes._axes": figures.remember_boxes,
                "plotly.io": _show_plotly_as_results,
            }
        ),
    )


def _show_plotly_as_results(pio):
    """One renderer, for ``figure`` as last expression and ``figure.show()``: plotly would start a browser."""
    from plotly.io._base_renderers import ExternalRenderer

    class ResultRenderer(ExternalRenderer):
        def render(self, fig_dict):
            html = pio.to_html(fig_dict, include_plotlyjs="cdn", full_html=False, default_height="525px")
            bundle = {
                "text/html": html,
                "application/json": fig_dict,
                "application/vnd.plotly.v1+json": fig_dict,
            }
            display(bundle, raw=True)

    pio.renderers["sandlot"] = ResultRenderer()
    pio.renderers.default = "sandlot"


class _AfterImport:
    """Calls ``actions[name]`` with the module once it has been imported for the first time."""

    def __init__(self, actions):
        self._actions = actions

    def find_spec(self, name, path=None, target=None):
        action = self._actions.pop(name, None)
        if action is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_set_up(module):
            execute(module)
            action(module)

        spec.loader.exec_module = execute_and_set_up
        return spec
