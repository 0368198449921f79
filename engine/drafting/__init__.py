"""From a file of one's own to a scenario to start from: what each column is taken for, which is the label, what to match on.

looks      plain values: a column, a catalogue, a draft; JSON-able, nothing heavy
sniffing   what a path is, without reading it; refusals in words
catalog    a table's columns as its loader reads and uses them
opening    files and columns, read once for a form that asks again and again
columns    one column in plain values: what it is taken for, an example
cuts       where to cut numbers, in round ones
labels     which column is the label, and why that is believed
matching   which columns to match on, else how many clusters
draft      the scenario of a path: tabular and texts for a table, pictures for a folder; sizes: how long it trains
words      its TOML, with comments
completing  paths as they are typed
process    all of it for a screen that loads no NumPy: JSON lines in, JSON lines out
"""
