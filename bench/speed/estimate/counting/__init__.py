"""What work is, counted by workers with torch: operators, bundles in training, models in evaluation."""
