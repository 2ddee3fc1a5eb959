"""matplotlib's figures as results: a picture, and the data it was drawn from."""

import functools
import io
import sys
import weakref

from IPython.display import display

from . import charts
from .display import CHART

BACKEND = "module://sandlot_kernel.backend"
_shown = weakref.WeakSet()  # figures that this run has shown already


def register(shell):
    displays = shell.displays
    displays.for_type("image/png", "matplotlib.figure", "Figure", _png)
    displays.for_type(CHART, "matplotlib.figure", "Figure", charts.describe)
    shell.events.register("post_execute", show_open)


def use_backend(matplotlib):
    matplotlib.rcParams["backend"] = BACKEND


def remember_boxes(axes_module):
    """matplotlib keeps only the lines of a box plot: note its numbers where they still are numbers."""
    bxp = axes_module.Axes.bxp

    @functools.wraps(bxp)
    def remembering(self, bxpstats, *args, **kwargs):
        drawn = bxp(self, bxpstats, *args, **kwargs)
        charts.remember_boxes(self, bxpstats, drawn)
        return drawn

    axes_module.Axes.bxp = remembering


def show(figure):
    _shown.add(figure)
    display(figure)


def show_open():
    """Show the figures of pyplot that this run has not shown itself, and close them all."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    for manager in list(helpers.Gcf.get_all_fig_managers()):
        if manager.canvas.figure not in _shown:
            show(manager.canvas.figure)
    helpers.Gcf.destroy_all()
    _shown.clear()


def _png(figure):
    if not figure.axes and not figure.lines and not figure.texts and not figure.images:
        return None
    _shown.add(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=figure.dpi, bbox_inches="tight")
    return picture.getvalue()
