#!/usr/bin/env bash
# benchmarks/scoring.py on one GPU: both models whole, in bfloat16. Needs about 25 GB of GPU memory, no network and no
# weights. Results go to $OUT (default: ./out). PYTHON is an interpreter that has torch for CUDA and transformers.
#
#     PYTHON=.venv/bin/python OUT=out bash benchmarks/gpu/scoring.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
OUT=${OUT:-out}
mkdir -p "$OUT"
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
"$PYTHON" -c 'import torch; assert torch.cuda.is_available(), "no GPU: run benchmarks/scoring.py for the figures of a CPU"'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$OUT/gpu.csv"
# A batch as the scorer makes it (8,192 padded steps), and one trajectory alone.
for trajectories in 27 1; do
    "$PYTHON" benchmarks/scoring.py --repeats 10 --trajectories "$trajectories" \
        --json "$OUT/scoring_$trajectories.json" | tee "$OUT/scoring_$trajectories.txt"
done
