"""Statistics on what victims did: counts, damages, intervals, the worst few. Pure functions of stored predictions; no torch.

folds.py       five folds of the test rows, stratified by subpopulation
counts.py      predictions -> integer counts, once per victim
layout.py      counts -> arrays by (alpha, trial, subpopulation)
damage.py      paired damages with their intervals, controls and collateral
spread.py      variances over trials, moderated across subpopulations
vulnerable.py  who is: judged by the victims aimed elsewhere; Benjamini-Hochberg
worst.py       the worst k, as published and corrected
interval.py    the interval of the corrected worst k
paired.py      one attack against another
optimised.py   what optimising the poison gained by its own measure
confidence.py  groups by the adversary's confidence, rank correlation
lerq.py        what poison does to a last layer, from a clean model alone;  susceptibility.py: how well such a ranking orders what happened
"""
