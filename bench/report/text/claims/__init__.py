"""What is said of the claims that a ranking can bear: the parts of its spread, and where it carries over to."""
