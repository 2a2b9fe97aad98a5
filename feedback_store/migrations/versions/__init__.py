"""The steps, oldest first; their file names begin with the revision."""
