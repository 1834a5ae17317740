"""The harness of the suite: grids, plan, workers, run files, command line, report."""
