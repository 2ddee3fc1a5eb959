"""Code interpreters: contexts that keep their variables, over kernels that run in the sandbox.

A kernel is a program of the template (``guest/kernels``) that the guest agent starts with pipes; it speaks
lines of JSON. What it sends is as untrusted as anything else from a guest.
"""

from __future__ import annotations

from sandlot.core.interpreter.events import CodeEvent, Context, Done, ErrorEvent, Result, Stderr, Stdout
from sandlot.core.interpreter.interpreter import KERNEL_TAG, Interpreter, default_context
from sandlot.core.interpreter.session import Limits

__all__ = [
    "KERNEL_TAG",
    "CodeEvent",
    "Context",
    "Done",
    "ErrorEvent",
    "Interpreter",
    "Limits",
    "Result",
    "Stderr",
    "Stdout",
    "default_context",
]
