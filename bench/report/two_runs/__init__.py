"""A comparison of two runs: what is said of it, wherever it is shown, and its page."""
