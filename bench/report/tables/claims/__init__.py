"""The tables beside those claims."""
