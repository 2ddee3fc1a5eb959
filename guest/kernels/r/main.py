"""The R kernel: ``python3 main.py``. It speaks the lines of ``../python/sandlot_kernel/wire.py``.

R is a library of this process: what it prints comes by call, and SIGINT is its own.
"""

import base64
import ctypes
import json
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).parent
sys.path[0] = str(HERE.parent / "python")

from sandlot_kernel.service import Service, sockets  # noqa: E402

R_HOME = os.environ.get("R_HOME", "/usr/lib/R")
_ARGUMENTS = (b"R", b"--no-save", b"--no-restore", b"--no-echo", b"--no-readline")
_UTF8 = 1  # cetype_t
_VALUE_LIMIT = 64 * 1024
_TRACEBACK_LIMIT = 256 * 1024
_RESULT_LIMIT = 31 * 1024 * 1024
_STRUCTURE_LIMIT = 4 * 1024 * 1024
_STRUCTURES = ("data", "json")

_WriteConsole = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_ReadConsole = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_Emit = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_POINTERS = {
    "Rf_allocVector": (ctypes.c_uint, ctypes.c_ssize_t),
    "Rf_install": (ctypes.c_char_p,),
    "Rf_lang2": (ctypes.c_void_p, ctypes.c_void_p),
    "Rf_lang3": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "Rf_mkCharLenCE": (ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "Rf_protect": (ctypes.c_void_p,),
    "Rf_ScalarString": (ctypes.c_void_p,),
    "Rf_setAttrib": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "R_MakeExternalPtr": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "R_tryEval": (ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)),
    "STRING_ELT": (ctypes.c_void_p, ctypes.c_ssize_t),
}


class R:
    def start(self, outlet):
        self._outlet = outlet
        self._r = _load()
        self._callbacks = (_WriteConsole(self._write), _ReadConsole(_read_nothing), _Emit(self._emit))
        write, read, emit = self._callbacks
        self._r.Rf_initialize_R(len(_ARGUMENTS), (ctypes.c_char_p * len(_ARGUMENTS))(*_ARGUMENTS))
        self._set("R_Interactive", 1)  # else any error that nothing handles ends the process
        for name in ("R_Outputfile", "R_Consolefile", "ptr_R_WriteConsole"):
            self._set(name, None, ctypes.c_void_p)
        self._set("ptr_R_WriteConsoleEx", ctypes.cast(write, ctypes.c_void_p).value, ctypes.c_void_p)
        self._set("ptr_R_ReadConsole", ctypes.cast(read, ctypes.c_void_p).value, ctypes.c_void_p)
        self._r.setup_Rmainloop()
        for crash in (signal.SIGSEGV, signal.SIGILL, signal.SIGBUS):
            signal.signal(crash, signal.SIG_DFL)  # R would ask what to do
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self._run = self._prepare(ctypes.cast(emit, ctypes.c_void_p).value)

    def run(self, code, env):
        self._set("R_interrupts_pending", 0)
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            return self._evaluate(code)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def setenv(self, env):
        os.environ.update(env)

    def reseed(self, number):
        source = self._text(f"base::set.seed({number}L)")
        parsed = self._r.Rf_protect(self._r.Rf_lang2(self._r.Rf_install(b"str2lang"), source))
        self._try(self._r.Rf_protect(self._try(parsed)))
        self._r.Rf_unprotect(2)

    def activity(self):
        return sockets(), []

    def _evaluate(self, code):
        text = self._r.Rf_protect(self._text(code))
        call = self._r.Rf_protect(self._r.Rf_lang2(self._run, text))
        failure = self._try(call)
        self._r.Rf_unprotect(2)
        if failure is None:  # it was interrupted outside the code
            return _error("KeyboardInterrupt", "interrupted", "interrupted")
        strings = self._strings(failure)
        return _error(*strings) if strings else None

    def _prepare(self, emit):
        """Source the R half; its value is the function that runs code."""
        r = self._r
        pointer = r.Rf_protect(r.R_MakeExternalPtr(emit, r.Rf_install(b"native symbol"), self._nil))
        r.Rf_setAttrib(pointer, r.Rf_install(b"class"), self._text("NativeSymbol"))
        path = json.dumps(str(HERE / "engine.R"))
        source = f"local(source({path}, local = TRUE, keep.source = FALSE)$value)"
        parsed = r.Rf_protect(r.Rf_lang2(r.Rf_install(b"str2lang"), self._text(source)))
        make = r.Rf_protect(self._try(r.Rf_protect(self._try(parsed))))
        return r.Rf_protect(self._try(r.Rf_protect(r.Rf_lang2(make, pointer))))

    def _try(self, call):
        failed = ctypes.c_int()
        value = self._r.R_tryEval(call, self._global, ctypes.byref(failed))
        return None if failed.value else value

    def _text(self, text):
        data = text.replace("\0", "").encode("utf-8", "replace")
        return self._r.Rf_ScalarString(self._r.Rf_mkCharLenCE(data, len(data), _UTF8))

    def _strings(self, vector):
        """Of a vector of strings; none of anything else, such as NULL."""
        count = self._r.Rf_length(vector) if self._r.Rf_isString(vector) else 0
        texts = (self._r.Rf_translateCharUTF8(self._r.STRING_ELT(vector, i)) for i in range(count))
        return [text.decode("utf-8", "replace") for text in texts]

    def _set(self, name, value, kind=ctypes.c_int):
        kind.in_dll(self._r, name).value = value

    @property
    def _nil(self):
        return ctypes.c_void_p.in_dll(self._r, "R_NilValue").value

    @property
    def _global(self):
        return ctypes.c_void_p.in_dll(self._r, "R_GlobalEnv").value

    def _write(self, data, length, is_error):
        text = ctypes.string_at(data, length).decode("utf-8", "replace")
        if text:
            self._outlet.write("stderr" if is_error else "stdout", text)

    def _emit(self, strings):
        """A result: whether it is the main one, then names of fields and their content."""
        is_main, *pairs = self._strings(strings)
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if picture := fields.pop("png_file", None):
            fields["png"] = base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
        self._outlet.send(_result(is_main == "main", fields))
        return self._nil


def _load():
    os.environ.setdefault("R_HOME", R_HOME)
    os.environ.setdefault("R_SHARE_DIR", "/usr/share/R/share")
    os.environ.setdefault("R_INCLUDE_DIR", "/usr/share/R/include")
    os.environ.setdefault("R_DOC_DIR", "/usr/share/R/doc")
    library = ctypes.CDLL(f"{R_HOME}/lib/libR.so", mode=ctypes.RTLD_GLOBAL)
    for name, arguments in _POINTERS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_void_p, arguments
    library.Rf_translateCharUTF8.restype = ctypes.c_char_p
    for name in ("Rf_translateCharUTF8", "Rf_length", "Rf_isString"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    return library


def _read_nothing(prompt, buffer, length, history):
    return 0  # nobody is there to type


def _result(is_main, fields):
    event, omitted, left = {"type": "result", "is_main": is_main}, [], _RESULT_LIMIT
    for name, content in fields.items():
        if len(content) > (_STRUCTURE_LIMIT if name in _STRUCTURES else left):
            omitted.append(f"[{name} is left out: {len(content)} bytes are too many for one result]")
            continue
        left -= len(content)
        event[name] = json.loads(content) if name in _STRUCTURES else content
    if omitted:
        event["text"] = "\n".join([*([event["text"]] if event.get("text") else []), *omitted])
    return event


def _error(name, value, traceback):
    return {"name": name, "value": value[:_VALUE_LIMIT], "traceback": traceback[:_TRACEBACK_LIMIT]}


if __name__ == "__main__":
    # For R's thread alone: one that reads output would take signals from it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    Service(R()).serve()
