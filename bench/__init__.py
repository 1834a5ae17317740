"""The harness: grids of cells, their plan, the run, the run file, the report and the command line."""
