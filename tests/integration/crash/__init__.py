"""`kill -9` at any moment, of anything: a random program beside a model of what must be true after it."""
