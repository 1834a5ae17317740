"""What is asked: keys, cells, grid files, families and bundles. Executes no torch."""
