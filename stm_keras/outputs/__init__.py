"""What was found, in the forms that other programs open."""
