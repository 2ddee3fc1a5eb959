"""``sys.stdout`` and ``sys.stderr`` of user code."""

import io


class Stream(io.TextIOBase):
    """Text goes to the outlet by call; ``buffer`` and ``fileno()`` are the pipe that child processes have."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None

    def __init__(self, outlet, interrupts, name, fd):
        self._outlet = outlet
        self._interrupts = interrupts
        self._name = name
        self._fd = fd
        self._buffer = None

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._outlet.forked:
            self._outlet.write_raw(self._name, text)
        elif text:
            self._outlet.write(self._name, text)
            if self._interrupts.deferred:
                self._interrupts.deliver()
        return len(text)

    @property
    def name(self):
        return f"<{self._name}>"

    @property
    def mode(self):
        return "w"

    @property
    def buffer(self):
        if self._buffer is None:
            self._buffer = io.FileIO(self._fd, "w", closefd=False)
        return self._buffer

    @property
    def line_buffering(self):
        return True

    def fileno(self):
        return self._fd

    def writable(self):
        return True

    def isatty(self):
        return False

    def reconfigure(self, **options):
        """Accepted and ignored: scripts ask for UTF-8 or line buffering, which it has anyway."""

    def close(self):
        """Not ours to close: the next run prints here as well."""
