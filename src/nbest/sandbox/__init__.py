"""Runs Python programs that nobody trusts, with limits, and without network, files or a way to the host.

`executions.py` holds the jobs and outcomes, `opening.py` finds the best isolation of this machine.
"""
