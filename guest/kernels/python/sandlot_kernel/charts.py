"""The data that a matplotlib figure was drawn from, in the shape that E2B's published models have.

``{"type", "title", "elements"}``; types are line, scatter, bar, pie, box_and_whisker, superchart (several
axes; its elements are charts) and unknown. Point charts (line, scatter) also have labels, units, ticks, tick
labels and scales of both axes; bar and box_and_whisker have labels and units. Source of the shape: the
classes in ``e2b_code_interpreter/charts.py`` of the PyPI package e2b-code-interpreter.
"""

import re
import weakref

POINTS_LIMIT = 50_000  # of one figure; one with more has no chart

_boxes = (
    weakref.WeakKeyDictionary()
)  # axes → [(statistics of its boxes, the lines of their medians, the lines and patches that show them)]
_UNIT = re.compile(r"[(\[]([^()\[\]]+)[)\]]\s*$")


def remember_boxes(axes, statistics, drawn):
    artists = [artist for kind in drawn.values() for artist in kind]
    _boxes.setdefault(axes, []).append((list(statistics), list(drawn["medians"]), artists))


def describe(figure):
    """The chart of ``figure``; None when it has no axes or too many points."""
    all_axes = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    if not all_axes or sum(_count_points(axes) for axes in all_axes) > POINTS_LIMIT:
        return None
    found = [_chart(axes) for axes in all_axes]
    if len(found) == 1:
        return found[0]
    return {"type": "superchart", "title": figure.get_suptitle() or None, "elements": found}


def _count_points(axes):
    lines = sum(len(line.get_xdata(orig=False)) for line in axes.lines)
    return lines + len(axes.patches) + sum(len(item.get_offsets()) for item in axes.collections)


def _chart(axes):
    title = axes.get_title() or None
    if boxes := _box_elements(axes):
        return {"type": "box_and_whisker", "title": title, **_labels(axes), "elements": boxes}
    if wedges := _wedges(axes):
        return {"type": "pie", "title": title, "elements": wedges}
    if bars := _bars(axes):
        return {"type": "bar", "title": title, **_labels(axes), "elements": bars}
    lines, clouds = _lines(axes)
    if lines or clouds:
        kind = "line" if lines else "scatter"
        return {"type": kind, "title": title, **_labels(axes), **_scales(axes), "elements": lines + clouds}
    return {"type": "unknown", "title": title, "elements": []}


def _labels(axes):
    x, y = axes.get_xlabel(), axes.get_ylabel()
    return {"x_label": x or None, "y_label": y or None, "x_unit": _unit(x), "y_unit": _unit(y)}


def _unit(label):
    """ "Time (s)" is in s."""
    match = _UNIT.search(label)
    return match.group(1) if match else None


def _scales(axes):
    scales = {}
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        ticks = list(axis.get_ticklocs())
        scales[f"{name}_ticks"] = _values(axis, ticks)
        scales[f"{name}_tick_labels"] = [str(text) for text in axis.get_major_formatter().format_ticks(ticks)]
        scales[f"{name}_scale"] = _scale(axis)
    return scales


def _scale(axis):
    converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
    for part, scale in (("Date", "datetime"), ("Categor", "categorical")):
        # Subclasses too: pandas has converters of its own for dates.
        if any(part in cls.__name__ for cls in type(converter).__mro__):
            return scale
    return axis.get_scale()


def _values(axis, numbers):
    """What the user plotted, for the numbers that matplotlib draws."""
    scale = _scale(axis)
    if scale == "datetime":
        from matplotlib.dates import num2date

        return [num2date(number).replace(tzinfo=None).isoformat() for number in numbers]
    if scale == "categorical":
        names = {number: name for name, number in axis.units._mapping.items()}
        return [names.get(round(float(number)), float(number)) for number in numbers]
    return [float(number) for number in numbers]


def _points(axes, xs, ys):
    return [list(pair) for pair in zip(_values(axes.xaxis, xs), _values(axes.yaxis, ys), strict=True)]


def _lines(axes):
    """Lines, and what looks like a cloud of points: a scatter, or a plot with markers and no line."""
    lines, clouds = [], []
    for number, line in enumerate(axes.lines):
        if line.get_transform() is not axes.transData and line.get_transform() != axes.transData:
            continue  # a reference line (axhline): one of its coordinates is no data
        points = _points(axes, line.get_xdata(orig=False), line.get_ydata(orig=False))
        is_line = str(line.get_linestyle()).lower() not in ("none", "", " ")
        (lines if is_line else clouds).append({"label": _name(line, f"Line {number}"), "points": points})
    for number, cloud in enumerate(axes.collections):
        if type(cloud).__name__ == "PathCollection":
            offsets = cloud.get_offsets()
            points = _points(axes, [pair[0] for pair in offsets], [pair[1] for pair in offsets])
            clouds.append({"label": _name(cloud, f"Scatter {number}"), "points": points})
    return lines, clouds


def _bars(axes):
    found = []
    for container in axes.containers:
        if type(container).__name__ != "BarContainer":
            continue
        horizontal = container.orientation == "horizontal"
        axis = axes.yaxis if horizontal else axes.xaxis
        names = _tick_names(axis)
        for bar in container.patches:
            centre = bar.get_y() + bar.get_height() / 2 if horizontal else bar.get_x() + bar.get_width() / 2
            value = bar.get_width() if horizontal else bar.get_height()
            label = _nearest(names, centre, reach=abs(bar.get_height() if horizontal else bar.get_width()))
            found.append({"label": label, "group": _name(container, ""), "value": float(value)})
    return found


def _tick_names(axis):
    ticks = list(axis.get_ticklocs())
    texts = axis.get_major_formatter().format_ticks(ticks)
    return [(float(tick), str(text)) for tick, text in zip(ticks, texts, strict=True) if text]


def _nearest(names, centre, *, reach):
    """The tick's text under a bar; where no tick is, the position."""
    if names:
        tick, text = min(names, key=lambda name: abs(name[0] - centre))
        if abs(tick - centre) <= max(reach / 2, 1e-9):
            return text
    return f"{centre:g}"


def _wedges(axes):
    return [
        {
            "label": _name(wedge, ""),
            "angle": round(float(wedge.theta2 - wedge.theta1), 9),
            "radius": float(wedge.r),
        }
        for wedge in axes.patches
        if type(wedge).__name__ == "Wedge"
    ]


def _box_elements(axes):
    here = {*axes.lines, *axes.patches, *axes.texts}
    return [
        {
            "label": str(box.get("label") or _tick_under(axes, median)),
            "min": float(box["whislo"]),
            "first_quartile": float(box["q1"]),
            "median": float(box["med"]),
            "third_quartile": float(box["q3"]),
            "max": float(box["whishi"]),
            "outliers": [float(value) for value in box.get("fliers", ())],
        }
        for statistics, medians, artists in _boxes.get(axes, ())
        if here.intersection(artists)  # else the axes were cleared since
        for box, median in zip(statistics, medians, strict=True)
    ]


def _tick_under(axes, median):
    """The text of the tick that a box stands at; the line of its median lies across."""
    (xs, ys) = median.get_data()
    upright = ys[0] == ys[-1]
    ends = xs if upright else ys
    axis = axes.xaxis if upright else axes.yaxis
    return _nearest(_tick_names(axis), (ends[0] + ends[-1]) / 2, reach=abs(ends[-1] - ends[0]))


def _name(artist, otherwise):
    label = str(artist.get_label())
    return otherwise if label.startswith("_") else label
