"""ln p(x) by annealing: chains from a distribution that is known to the posterior, and back."""
