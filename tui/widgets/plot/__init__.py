"""Plots in braille dots and blocks."""
