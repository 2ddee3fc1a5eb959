"""One file per promise. Each prints a table, and with ``--json`` one object; it exits 1 where one is missed."""
