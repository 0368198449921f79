"""Texts: lines of a file, reviews of an archive, rows made of them."""
