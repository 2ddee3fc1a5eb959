"""Hostile programs: what a stranger's code may try, run in real sandboxes, on each tier."""
