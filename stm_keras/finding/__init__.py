"""Apply a trained network to maps and to files."""
