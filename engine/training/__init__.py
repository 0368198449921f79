"""How victims are trained: one schedule, the trainers that keep to it, and the slow reference that gates them.

trial.py       what the victims of one trial share;  recipe.py: how each is trained;  schedule.py: which rows a step sees
sharing.py     victims over processes (parts.py), in halves where memory runs out (halving.py), which is remembered (room.py)
dense.py       networks/  encoders/  the trainers;  reference/: the slow one
"""
