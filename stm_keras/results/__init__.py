"""What a run writes: folders, pictures, files for other programs."""
