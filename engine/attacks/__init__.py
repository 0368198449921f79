"""Attacks: the poison of one victim, and what the adversary works out before there is any.

poison.py               the points of one victim, whatever the attack
draw.py                 how many points, which rows
label_flip.py           copies with a wrong label
points.py               every point that a run may draw, once
gradient.py             copies whose pixels are moved;  alignment.py: uphill of what
influence.py            the copies that promise most;  softmax_regression.py: the layer that they are judged by
model.py                what these ask of the adversary's model
"""
