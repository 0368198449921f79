"""What to run. Nothing here imports torch, and this file nothing at all: presets are listed before anything is loaded.

sections.py    the grammar: every key, its bounds and default
parse.py       text to a Scenario, with every mistake at once;  checks.py: what must hold between keys;  mistakes.py: in words
identity.py    a Scenario as text, as a hash, beside its preset
presets.py     those that ship;  files.py: theirs and yours;  weights.py: which weights there are, and where;  toml.py
available.py   what the grammar names and this version cannot do
"""
