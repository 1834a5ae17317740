"""ln p(x) by other ways than importance sampling: exactly, where that can be had; and by annealing, chains from a
distribution that is known to the posterior, and back."""
