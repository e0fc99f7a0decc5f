"""Verdicts on programs: what a completion's program does in a sandbox, compared with what its tests expect."""
