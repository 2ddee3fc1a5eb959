"""One file per promise: each prints a table (or, with ``--json``, one object) and exits 1 where one is missed."""
