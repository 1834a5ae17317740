"""What runs say as numbers: boards, trust, differences between two runs."""
