"""What lies in a folder of models: found, checked, listed, described."""
