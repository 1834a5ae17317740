"""What likelihoods, networks and training compute with: elementwise functions, gradients by hand, precision."""
