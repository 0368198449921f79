"""Stored predictions to tables: a pure function, so a new statistic never needs a new training.

columns/      every table's columns, in words;  cells.py: cells and rows
world.py      what the tables of a run are made of;  figures.py: what several tables share;  source.py: what they need of a store
build.py      the tables that a run materialises, of which each is a file
compare.py    two runs side by side;  matching.py: what is the same in them
groups.py  matchers.py  predicted.py    made when asked for, never stored
"""
