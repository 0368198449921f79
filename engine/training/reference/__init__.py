"""The slow, obvious trainers, with the same schedule; they gate the fast ones."""
