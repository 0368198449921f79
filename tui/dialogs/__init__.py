"""Boxes over a mode: they ask or tell one thing, and close."""
