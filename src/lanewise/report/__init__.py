"""Pages that show a network and its images."""
