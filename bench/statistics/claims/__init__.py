"""What a ranking may be quoted for: its scope, what its spread is made of, what learning σ is worth."""
