"""Trainers of a text encoder's last layer, over stored states."""
