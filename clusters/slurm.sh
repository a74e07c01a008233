#!/usr/bin/env bash
#SBATCH --job-name=concept-study --nodes=4 --ntasks-per-node=1 --cpus-per-task=16
# sbatch clusters/slurm.sh search_spaces/hue.toml --trials 500 --name hue, from a folder that all nodes share.
set -euo pipefail
source .venv/bin/activate
umask 077
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
head=$(hostname -I | cut -d ' ' -f 1):6379  # this script runs on the first node
others=$((SLURM_NNODES - 1))
trap 'kill $(jobs -p)' EXIT

ray start --head --node-ip-address="${head%:*}" --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" \
    --include-dashboard=false --block &
# shellcheck disable=SC2016
timeout 300 bash -c 'until ray status --address "$1" &> /dev/null; do sleep 1; done' - "$head" ||
    { echo "error: no Ray at $head after 300 s" >&2; exit 1; }
if ((others)); then  # srun inherits neither the CPUs of a task nor where this script runs
    srun --nodes="$others" --ntasks="$others" --cpus-per-task="$SLURM_CPUS_PER_TASK" --exclude="$SLURMD_NODENAME" \
        ray start --address="$head" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi
study run "$@" --address "$head"
