"""The order of things: rows -> discovery -> plan -> stacks of victims. The only package that knows it.

order.py       what a worker drives
discover.py    adversary's model, subpopulations, targets, poison;  discovery.py: what came of it;  adversary.py: that model
plan.py        which victims train together;  train.py: one stack of them
bench.py       what stacking buys on this machine
"""
