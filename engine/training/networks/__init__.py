"""Trainers of networks that run whole: one victim after another, or a stack under vmap."""
