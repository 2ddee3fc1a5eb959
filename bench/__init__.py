"""One file per promise: each prints a table, or one JSON object, and exits 1 where a promise is missed."""
