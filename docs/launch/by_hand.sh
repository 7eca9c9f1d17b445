#!/bin/bash
# Any machines, the same line on each but for the last number, which counts them from 0. The address
# is that of the machine with number 0; all of them see the same run_dir.
#   bash docs/launch/by_hand.sh 10.0.0.1:8476 2 0
cd "$(dirname "$0")/../.." || exit
exec python -m experiments.train --benchmark=pascal --fold=0 --backbone=resnet50 --batch_size=20 \
  --data_dir=VOC2012 --splits_dir=splits --run_dir=shared/pascal0 --num_workers=8 \
  --coordinator="${1:?host:port of machine 0}" --num_processes="${2:?how many machines}" \
  --process_id="${3:?number of this machine, from 0}"
