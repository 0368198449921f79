"""The engine, headless. A package a step, in the data's order; imports only point down (contracts in pyproject.toml).

rows.py  arrays.py  steps.py  milestones.py  errors.py  seeds.py  rates.py  paper.py    plain types: what travels, goes wrong, was published
system/           processes, threads, devices, file systems, files written whole or not at all; how far a step is
scenario/         what to run: TOML in, one validated, immutable, hashed Scenario out; the presets
datasets/         files to train, aux and test rows
drafting/         a file of one's own to a scenario to start from: what its columns are, which is the label, what to match on
features/         what a model reads of pictures and texts, computed once
models/           victims, and how many of them are one tensor program
subpopulations/   clusters and feature crosses: who belongs to which, which are attacked
attacks/          the poison of one victim, and what the adversary works out before
training/         the schedule, and the trainers that keep to it
victims/          model, rows and trainer put together: jobs in, predictions out
pipeline/         the order: discover, plan, certify, train
runs/             a run's life: start, work, pause, resume, search on
store/            the only SQL: runs, victims, tables, bundles
evaluation/       counts, paired damages, intervals, the worst few
tables/           stored predictions to tables
plots/            tables to drawings
export/           tables to documents, reports, verdicts
preview/          a look at rows, pictures and poison without training
cli/  notebook.py  subpop_audit.py    words into calls; the way in, which puts our packages first
"""
