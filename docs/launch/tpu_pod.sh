#!/bin/bash
# A TPU pod slice, here of eight chips (v4-16: two hosts). The home folder of every host has the
# checkout and in it .venv, with 'jax[tpu]', and `shared`, a disk that all of them see. From a machine
# that has gcloud:
#   gcloud compute tpus tpu-vm ssh POD --zone=ZONE --worker=all \
#     --command='bash hsnet/docs/launch/tpu_pod.sh'
cd "$(dirname "$0")/../.." || exit
. .venv/bin/activate
exec python -m experiments.train --benchmark=coco --fold=0 --backbone=resnet50 --batch_size=40 \
  --prepared_dir=shared/prepared --splits_dir=shared/splits --run_dir=shared/coco0 \
  --num_workers=8 --coordinator=auto
