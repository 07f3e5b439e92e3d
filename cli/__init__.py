"""The `stmk` command line."""
