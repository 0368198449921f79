"""The order of things: rows -> discovery -> plan -> stacks of victims. The only package that knows it.

order.py       what a worker drives
discovery.py   a discovery, and a stack's job: plain data
discover.py    adversary's model, subpopulations, targets, poison;  adversary.py: that model;  deviations.py: what makes it not the paper's
triage.py      which subpopulations are at risk, from clean models alone
plan.py        which victims train together;  train.py: one stack of them
bench.py       what stacking buys on this machine
"""
