"""Tiny worlds: rows, pictures, models, stores and a pipeline that trains nothing; small enough to be worked out by hand."""
