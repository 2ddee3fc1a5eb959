"""IPython's shell behind one pair of pipes. Standard library and IPython only."""
