#!/usr/bin/env bash
#SBATCH --job-name=hue-study --nodes=4 --ntasks-per-node=1 --cpus-per-task=16
# sbatch clusters/slurm.sh search_spaces/hue.toml --trials 500 --name hue, from a folder that all nodes share.
set -euo pipefail
source .venv/bin/activate
umask 077
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
head=$(hostname -I | cut -d ' ' -f 1):6379  # this script runs on the first node
trap 'kill $(jobs -p)' EXIT

ray start --head --node-ip-address="${head%:*}" --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" \
    --include-dashboard=false --block &
until ray status --address "$head" &> /dev/null; do sleep 1; done
srun --nodes=$((SLURM_NNODES - 1)) --exclude="$(hostname)" \
    ray start --address="$head" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
study run "$@" --address "$head"
