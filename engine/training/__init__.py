"""How victims are trained: one schedule, three trainers (sequential, union, stacked)."""
