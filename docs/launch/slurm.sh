#!/bin/bash
#SBATCH --job-name=hsnet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Two nodes of four GPUs, from the checkout's folder, which all nodes see:
#   sbatch docs/launch/slurm.sh
# One task for each GPU: on SLURM JAX gives a task the GPU of its number on the node. So all tasks
# must see all GPUs of their node, and --gpus-per-task would hide them.
# srun does not take over --cpus-per-task by itself.
to_mend="runs/to_mend-$SLURM_JOB_ID"
export to_mend
mkdir -p runs
code=0
# SIGTERM comes to the shell of a task, which hands it on and waits for the end once more.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" bash -c '
told= pid=
trap "told=1; kill -TERM \$pid" TERM
"$@" & pid=$!
[ -z "$told" ] || kill -TERM "$pid"
wait "$pid"; code=$?
while [ -n "$told" ]; do told=; wait "$pid"; code=$?; done
[ "$code" -ne 2 ] || touch "$to_mend"
exit "$code"' task python -m experiments.train --benchmark=coco --fold=0 --backbone=resnet50 \
  --batch_size=40 --prepared_dir=prepared --splits_dir=splits --run_dir=runs/coco0 \
  --num_workers=3 --coordinator=auto || code=$?

# 143: told to stop, two minutes before time was up, and saved. Others: a task was lost; the run goes
# on from its last checkpoint. 2, from any task: something to mend, whatever the others end with.
if [ -e "$to_mend" ]; then
  rm "$to_mend"
  exit 2
fi
if [ "$code" -ne 0 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
