"""Selectors that run the programs of a pool: what programs do on the same inputs says which of them to trust."""
