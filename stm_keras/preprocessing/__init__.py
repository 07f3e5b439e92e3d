"""From a file's maps to what a network takes."""
