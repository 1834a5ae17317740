"""Carries out a grid: runs, workers, locks, progress, provenance."""
