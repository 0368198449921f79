"""Official files: where they lie, how they are fetched and checked, what is in an archive."""
