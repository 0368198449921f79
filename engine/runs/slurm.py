"""An array job for SLURM: a task a shard, no server between them. What it says of signals is what `subpop work` does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from engine.system import children

SCRIPT = """#!/bin/bash
# {title}
# {shards} shards of the plan in {plan}, a task each: sbatch job.sh (add what your site wants, as --time=4:00:00 --gres=gpu:1).
# A task that is told to stop keeps the stacks that it has trained and is queued again; so a stack must fit into a task's time.
# When all are done: subpop merge merged.db part*.db
#SBATCH --job-name={name}
#SBATCH --array=1-{shards}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=part%a.log
#SBATCH --signal=B:USR1@120

shard=$SLURM_ARRAY_TASK_ID
asked=0
stopped=0
{command} --plan {plan} --shard "$shard/{shards}" --store "part$shard.db" &
work=$!
trap 'asked=1; stopped=1; kill -TERM "$work" 2>/dev/null' USR1 TERM
wait "$work"
status=$?
while [ "$stopped" = 1 ]; do # a signal ends the wait, not yet the work
    stopped=0
    wait "$work"
    again=$?
    [ "$again" = 127 ] || status=$again
done
if [ "$status" = 130 ] || {{ [ "$asked" = 1 ] && [ "$status" != 0 ]; }}; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
"""


def script(words: Sequence[str], *, title: str, shards: int, plan: Path) -> str:
    """words: what `subpop work` is given of the scenario: preset or file, --set, --smoke, --device, --data."""
    name = f"subpop-{re.sub(r'[^0-9A-Za-z_.-]+', '-', Path(words[0]).stem)}"
    clean = re.sub(r"\s+", " ", title)
    return SCRIPT.format(
        title=clean, shards=shards, plan=shlex.quote(str(plan)), name=name, command=shlex.join([children.program(), "work", *words])
    )
