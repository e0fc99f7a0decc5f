"""Programs of completions: which text of a completion is its program, what is public of a code problem, its tests."""
