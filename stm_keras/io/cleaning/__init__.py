"""Steps that clean maps, and their order."""
