"""What the other rooms compute with: elementwise functions, gradients by hand, precision, seeded randomness."""
