"""`stmk inspect`: what a file is, and what can be seen in it."""
