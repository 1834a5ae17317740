"""One worker process: what it does itself, and what its parent sees of it.

`serve` is the process's own side; `board` and `messages` are what both share; `sight`, `limits`, `death` and `printed`
are the parent's: whether it works or sleeps, for how long it may, what it died of, and what it printed.
"""
