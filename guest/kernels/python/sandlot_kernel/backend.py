"""The matplotlib backend of the kernel: figures become results. ``figures`` makes it matplotlib's default."""

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from . import figures


class FigureManager(FigureManagerBase):
    @classmethod
    def pyplot_show(cls, *, block=None):
        """``plt.show()``: every open figure, which then is done with."""
        figures.show_open()

    def show(self):
        """``figure.show()``."""
        figures.show(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
