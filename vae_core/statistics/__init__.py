"""Intervals and significance of differences: pure functions of arrays, for any score that images and seeds have."""
