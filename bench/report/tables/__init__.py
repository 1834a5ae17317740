"""The tables of the page: the ranking and what is left out of it, diagnostics, speeds, what is not ranked at all."""
