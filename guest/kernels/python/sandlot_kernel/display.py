"""Rich output: IPython's formats become the fields of a result."""

import base64
import math

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

RESULT_LIMIT = 32 * 1024 * 1024  # of one result, as it is sent
STRUCTURE_LIMIT = 4 * 1024 * 1024  # of each field that is not text
_NODES_LIMIT = 500_000
_DEPTH_LIMIT = 64

DATA = "application/vnd.sandlot.data+json"
CHART = "application/vnd.sandlot.chart+json"
_DISPLAY = "application/vnd.sandlot.display+json"

FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "text/javascript": "javascript",
    DATA: "data",
    CHART: "chart",
}
_STRUCTURES = {"json", "data", "chart"}


class Displays:
    """What this run shows, and how."""

    def __init__(self, outlet, shell):
        self._outlet = outlet
        self._updates = {}
        formatter = shell.display_formatter
        for mime, method in ((DATA, "_repr_sandlot_data_"), (CHART, "_repr_sandlot_chart_")):
            formatter.formatters[mime] = _StructureFormatter(
                parent=formatter, format_type=mime, print_method=method
            )
        self._formatter = formatter

    def for_type(self, mime, module, name, function):
        """Represent objects of the class ``module.name`` as ``mime`` by ``function``, when there are any."""
        self._formatter.formatters[mime].for_type_by_name(module, name, function)

    def show(self, bundle, is_main=False):
        self._outlet.send(to_event(bundle, is_main), soon=not is_main)

    def update(self, display_id, bundle):
        """A change to something shown before. What is sent is sent, so the last state is told at the end."""
        self._updates.pop(display_id, None)
        self._updates[display_id] = bundle

    def finish(self):
        """The code has ended."""
        updates, self._updates = self._updates, {}
        for display_id, bundle in updates.items():
            self.show({**bundle, _DISPLAY: {"display_id": display_id, "update": True}})


class Publisher(DisplayPublisher):
    """``display()``."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        self._validate_data(data, metadata)
        display_id = (transient or {}).get("display_id")
        if update:
            self.shell.displays.update(str(display_id), data)
        elif data:
            self.shell.displays.show(data, is_main=self.shell.displayhook.take_main())

    def clear_output(self, wait=False):
        """What was sent is sent; whoever shows it keeps it."""


class ResultHook(DisplayHook):
    """The value of the last expression."""

    def begin(self):
        self._is_active = False  # an interrupt may have left it so

    def take_main(self):
        """Whether what is displayed now is the last expression, which displays itself; true once."""
        taken, self._is_active = self._is_active, False
        return taken

    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.displays.show(format_dict, is_main=True)

    def log_output(self, format_dict):
        """IPython would keep every representation, for ever."""

    def finish_displayhook(self):
        self._is_active = False


class _StructureFormatter(BaseFormatter):
    format_type = Unicode()
    print_method = ObjectName()
    _return_type = dict


def to_event(bundle, is_main):
    """The result event for a bundle of MIME types. What is too large is left out, and its place says so."""
    event = {"type": "result", "is_main": is_main}
    extra, omitted, left = {}, [], RESULT_LIMIT - 1024 * 1024
    for mime, value in bundle.items():
        if value is None:
            continue
        field = FIELDS.get(mime)
        is_structure = field in _STRUCTURES or (field is None and not isinstance(value, str | bytes))
        value = plain(value) if is_structure else _as_text(value)
        size = _size(value)
        if size > (STRUCTURE_LIMIT if is_structure else left):
            omitted.append(f"[{field or mime} is left out: {size} bytes are too many for one result]")
            continue
        left -= size
        if field is None:
            extra[mime] = value
        else:
            event[field] = value
    if extra:
        event["extra"] = extra
    if omitted:
        event["text"] = "\n".join([*([event["text"]] if event.get("text") else []), *omitted])
    return event


def plain(value):
    """``value`` made of what JSON has. NaN and infinity become null, what is unknown becomes its text."""
    left = _NODES_LIMIT

    def convert(value, depth):
        nonlocal left
        left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str(value)
        if isinstance(value, int):
            return int(value) if abs(value) < 1 << 63 else str(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if type(value).__name__ in ("NaTType", "NAType"):  # pandas' missing values
            return None
        if depth > _DEPTH_LIMIT or left < 0:
            return "…"
        if isinstance(value, dict):
            return {str(key): convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [convert(item, depth + 1) for item in value]
        if hasattr(value, "isoformat"):
            return str(value.isoformat())
        if hasattr(value, "tolist"):  # numpy's scalars and arrays
            return convert(value.tolist(), depth + 1)
        return str(value)

    return convert(value, 0)


def _as_text(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str) else str(value)


def _size(value):
    """About how many bytes of JSON; exact enough for a limit."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    from .wire import encode

    return len(encode(value))
