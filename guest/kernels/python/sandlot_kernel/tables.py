"""``data`` of a DataFrame or Series: its columns, by name."""

from .display import DATA

CELLS_LIMIT = 100_000


def register(displays):
    for module in ("pandas", "pandas.core.frame"):  # where it says it lives, from version 3 on and before
        displays.for_type(DATA, module, "DataFrame", columns)
    for module in ("pandas", "pandas.core.series"):
        displays.for_type(DATA, module, "Series", _series_columns)


def columns(frame):
    """Column name → values. Frames of more than ``CELLS_LIMIT`` cells have none: half a table misleads."""
    if frame.size > CELLS_LIMIT:
        return None
    return {str(name): frame.iloc[:, index].tolist() for index, name in enumerate(frame.columns)}


def _series_columns(series):
    if series.size > CELLS_LIMIT:
        return None
    return {str(series.name if series.name is not None else 0): series.tolist()}
