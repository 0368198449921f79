"""How victims are trained: one schedule, the trainers that keep to it, and the slow reference that gates them."""
