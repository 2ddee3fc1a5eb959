"""How a hostile program in Python says what came of it. Uploaded beside it."""

import os
import sys


def verdict(word: str, text: object) -> None:
    """The last word: ends the process at once, with all its threads."""
    sys.stdout.flush()
    os.write(1, f"\nVERDICT {word} {text}\n".encode())
    os._exit(0)


def denied(text: object) -> None:
    verdict("denied", text)


def contained(text: object) -> None:
    verdict("contained", text)


def limited(text: object) -> None:
    verdict("limited", text)


def seen(text: object) -> None:
    verdict("seen", text)


def escaped(text: object) -> None:
    verdict("escaped", text)


def host_under(root: str) -> bool:
    """Whether the host's files are below ``root``: its canary would be."""
    return os.path.exists(root.rstrip("/") + os.environ["CANARY"])
