#!/bin/bash
# One machine with several GPUs: one process takes all that it sees, here the first four.
#   bash docs/launch/several_gpus.sh
cd "$(dirname "$0")/../.." || exit
export CUDA_VISIBLE_DEVICES=0,1,2,3
exec python -m experiments.train --benchmark=pascal --fold=0 --backbone=resnet50 --batch_size=20 \
  --data_dir=VOC2012 --splits_dir=splits --run_dir=runs/pascal0 --num_workers=8
