"""What to run. Nothing here imports torch, and this file nothing at all: presets are listed before anything is loaded.

sections.py    the grammar: every kind with its own keys, their bounds, defaults and help;  kinds.py: read off it, which has which
parse.py       text to a Scenario, with every mistake at once;  overlay.py: [smoke] and the command line laid over it
checks.py      what must hold between keys;  mistakes.py: what is wrong, in words
modules.py     the module of a kind's name, opened
identity.py    a Scenario as text, as a hash, beside its preset;  claim.py: what of the paper it may be held against
presets.py     those that ship;  files.py: theirs and yours;  weights.py: which weights there are, and where;  toml.py
"""
