"""Speed: what a kind of cell reaches of what the machine can do, surveys, the gate, peers."""
