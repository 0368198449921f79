"""A run's life.

start.py       start, pause, resume, stop, delete;  again.py: some of its subpopulations once more
worker.py      the process of one run;  work.py: what it does, step by step;  at_work.py: what each step knows;
training.py    the last step: stacks to victims;  pipeline.py: what it drives;  executors/: who trains
plans.py       the plan of a run as a file;  shards.py: its stacks on several machines;  slurm.py: an array job;  merging.py: one run again
milestones.py  what of a discovery or a plan is done, kept until the whole is
control.py     requests that arrive;  heartbeat.py, progress.py: signs of life;  queue.py: what it waits for, in words
finding.py     the search for a damage;  reuse.py: what another run has trained already;  provenance.py: with what
"""
