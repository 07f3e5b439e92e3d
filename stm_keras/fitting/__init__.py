"""Train networks, test them, and write their directories."""
