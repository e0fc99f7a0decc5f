"""A package that adds a method of every kind, and a benchmark, to nbest; `test_plugins.py` installs it."""
