#!/usr/bin/env bash
# A sweep over several nodes under Slurm: `sbatch deploy/slurm.sh`. CHANGE the resources, and the sweep at the end.
# Run where this project is installed in ~/venv on a file system that all nodes share.
#SBATCH --job-name=gan-search
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail
umask 077

source ~/venv/bin/activate
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.ray/gan-search-$SLURM_JOB_ID"
mkdir -p "$HOME/.ray"
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"
export RAY_health_check_initial_delay_ms=1000 RAY_health_check_period_ms=1000
export RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=3

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Jobs that share a node need ports of their own.
port=$((20000 + SLURM_JOB_ID % 20000))
finish() { srun --overlap --ntasks-per-node=1 ray stop --grace-period 20 >/dev/null 2>&1 || true; rm -f "$RAY_AUTH_TOKEN_PATH"; }
trap finish EXIT

ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | cut -d' ' -f1)
# Since 22.05 srun does not take the cores of a task from sbatch, and Ray counts those of the machine.
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --num-cpus="$SLURM_CPUS_PER_TASK" --node-ip-address="$ip" --port="$port" --dashboard-host=127.0.0.1 --disable-usage-stats --block &
sleep 15
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --exclude="$head" \
    ray start --address="$ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --disable-usage-stats --block &
  sleep 15
fi

# SIGTERM, two minutes before the time is up, saves the state; requeued, the same command goes on with the run.
gan-search sweep --address "$ip:$port" --data packed:"$HOME/photos-64.arrow" --size 64 --trials 40 --kimg 500 \
  --storage "$HOME/runs" --name photos &
sweep=$!
trap 'kill -TERM "$sweep"; wait "$sweep" || true; scontrol requeue "$SLURM_JOB_ID"; exit 0' TERM
wait "$sweep"
