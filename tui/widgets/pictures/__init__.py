"""Thumbnails in half blocks."""
