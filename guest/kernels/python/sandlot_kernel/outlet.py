"""Everything that a run tells the host leaves through here, in the order in which it happened.

What Python code writes arrives by call, what C code and child processes write arrives in two pipes that stand
for the descriptors 1 and 2. Both are gathered and sent together after ``BATCH_S``, when ``BATCH_SIZE`` is
reached, or with the end of the run, so the usual short run is one write, and a run that prints a lot waits
for the host to take it. Between runs nothing is sent: the newest ``BACKLOG`` characters of what threads and
child processes write then are told at the beginning of the next run.
"""

import codecs
import os
import select
import threading
import time
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl

from .wire import encode, private

BATCH_S = 0.02
BATCH_SIZE = 64 * 1024
BACKLOG = 256 * 1024
_PIPE_SIZE = 256 * 1024
_READ_SIZE = 64 * 1024


class Outlet:
    def __init__(self, fd, interrupts):
        self._fd = fd
        self._interrupts = interrupts
        self._lock = threading.RLock()
        self._run = None
        self._lines = []  # encoded events
        self._size = 0  # of those and of the text below
        self._stream = ""
        self._text = []  # not yet an event: pieces of one stream
        self._backlog_dropped = 0
        self._due = None  # when the batch must be sent
        self._at_line_start = True
        self.forked = False  # this is a child that user code forked
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._pipes = {}
        self._poll = select.poll()
        interrupts.guard(Outlet.write, Outlet._send)

    def capture(self):
        """Make descriptors 1 and 2 pipes of ours, and begin to read them."""
        for target, stream in ((1, "stdout"), (2, "stderr")):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            with suppress(OSError):  # beyond the user's allowance: the default size does
                fcntl(reader, F_SETPIPE_SZ, _PIPE_SIZE)
            # An end to write to is kept, so that user code that closes its own is no end of file here.
            private(writer)
            os.dup2(writer, target, inheritable=True)
            os.close(writer)
            kept = private(reader)
            os.close(reader)
            os.set_blocking(kept, False)
            self._pipes[kept] = (stream, codecs.getincrementaldecoder("utf-8")("replace"))
            self._poll.register(kept, select.POLLIN)
        os.register_at_fork(after_in_child=self._after_fork)
        pump = threading.Thread(target=self._pump, name="sandlot-output", daemon=True)
        pump.start()
        self.thread = pump.ident

    def begin(self, run):
        with self._lock:
            self._run = run
            if self._backlog_dropped:
                note = f"[{self._backlog_dropped} characters written between runs were dropped]\n"
                self._lines.insert(0, ("stderr", note))
                self._backlog_dropped = 0
            if self._lines or self._text:
                self._arm()

    def write(self, stream, text):
        """Text that Python code wrote, not empty. Blocks while the host does not take what was sent before.

        The caller then asks ``Interrupts.deferred``. It is short because ``print`` calls it for every piece.
        """
        with self._lock:
            if self._at_line_start or stream is not self._stream:
                self._begin_line(stream)
            self._at_line_start = text[-1] == "\n"
            if len(text) > BATCH_SIZE:
                self._add_in_pieces(stream, text)
                return
            self._text.append(text)
            self._size += len(text)
            if self._size >= BATCH_SIZE or self._due is None:
                self._after_adding()

    def write_raw(self, stream, text):
        """In a forked child."""
        _write_all(1 if stream == "stdout" else 2, text.encode("utf-8", "replace"))

    def send(self, event, *, soon=True):
        """An event that is not text, after all text so far. ``soon=False``: the end of the run is near."""
        if not self.forked:
            self._send(event, soon)
            if self._interrupts.deferred:
                self._interrupts.deliver()

    def _send(self, event, soon):
        with self._lock:
            if self._run is None:
                return  # a thread displays something between runs: there is nobody to show it to
            self._read_pipes()
            self._seal()
            line = encode({"id": self._run, **event})
            self._lines.append(line)
            self._size += len(line)
            if soon or self._size >= BATCH_SIZE:
                self._after_adding()

    def end(self, *events):
        """The last events of the run; then all of it is sent."""
        with self._lock:
            self._read_pipes()
            for stream, decoder in self._pipes.values():
                if rest := decoder.decode(b"", True):
                    self._add(stream, rest)
            self._seal()
            self._lines += [encode({"id": self._run, **event}) for event in events]
            self._flush()
            self._run = None
            self._at_line_start = True

    def answer(self, event):
        """An event outside any run."""
        with self._lock:
            _write_all(self._fd, encode(event))

    def _event(self, stream, text):
        return encode({"id": self._run, "type": stream, "text": text})

    def _begin_line(self, stream):
        self._read_pipes()  # what a child wrote before comes first
        if stream != self._stream:
            self._seal()
            self._stream = stream

    def _add(self, stream, text):
        if stream != self._stream:
            self._seal()
            self._stream = stream
        self._text.append(text)
        self._size += len(text)
        self._after_adding()

    def _add_in_pieces(self, stream, text):
        for start in range(0, len(text), BATCH_SIZE):
            self._add(stream, text[start : start + BATCH_SIZE])

    def _after_adding(self):
        if self._run is None:
            self._drop_oldest()
        elif self._size >= BATCH_SIZE:
            self._flush()
        elif self._due is None:
            self._arm()

    def _arm(self):
        self._due = time.monotonic() + BATCH_S
        os.eventfd_write(self._wake, 1)

    def _seal(self):
        """Turn the gathered text into an event; between runs, into a piece of the backlog."""
        if self._text:
            text = "".join(self._text)
            self._text = []
            self._lines.append((self._stream, text) if self._run is None else self._event(self._stream, text))

    def _drop_oldest(self):
        if self._size <= BACKLOG:
            return
        self._seal()
        while self._size > BACKLOG // 2:
            _, text = self._lines.pop(0)
            self._size -= len(text)
            self._backlog_dropped += len(text)

    def _flush(self):
        self._seal()
        self._due = None
        self._size = 0
        if self._lines:
            data = b"".join(line if isinstance(line, bytes) else self._event(*line) for line in self._lines)
            self._lines = []
            _write_all(self._fd, data)

    def _read_pipes(self):
        for fd, _ in self._poll.poll(0):
            stream, decoder = self._pipes[fd]
            # One pipe's worth, not until it is empty: a child may write faster than this reads.
            for _ in range(_PIPE_SIZE // _READ_SIZE):
                try:
                    data = os.read(fd, _READ_SIZE)
                except BlockingIOError:
                    break
                if text := decoder.decode(data):
                    self._add(stream, text)
                if len(data) < _READ_SIZE:
                    break

    def _pump(self):
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for fd in self._pipes:
            poll.register(fd, select.POLLIN)
        while True:
            due = self._due
            poll.poll(None if due is None else max(0.0, due - time.monotonic()) * 1000)
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            with self._lock:
                self._read_pipes()
                if self._due is not None and time.monotonic() >= self._due:
                    self._flush()

    def _after_fork(self):
        """In a child that user code forked: a process like others, whose output goes through the pipes."""
        if not self.forked:
            self.forked = True
            self._lock = threading.RLock()
            for fd in (self._fd, self._wake, *self._pipes):
                os.close(fd)


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
