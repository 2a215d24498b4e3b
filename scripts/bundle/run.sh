#!/usr/bin/env bash
# Checks and measures htsr on this machine's GPU, and prints which step failed. Writes raw results and a summary to the given
# folder, by default ./results. Works from any folder, without a network, as root or not, in under 8 minutes.
#
#   ./run.sh [RESULTS]
#
# HTSR_STEPS="doctor parity demo model bench torch sanitizer" chooses steps; HTSR_BENCH_SIZES, HTSR_BENCH_COUNT,
# HTSR_BENCH_MODEL and HTSR_BENCH_LAYERS make the benchmarks smaller or larger, HTSR_SECONDS sets the time for all.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-results}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
steps=${HTSR_STEPS:-doctor parity demo model bench torch sanitizer}
sizes=${HTSR_BENCH_SIZES:-512,1024,2048,4096,8192}
model=${HTSR_BENCH_MODEL:-llama-2-70b}
# No compiled kernels of an earlier version may be used, and the home folder may not be writable.
export HTSR_CACHE="$out/cache" HTSR_ROOT="$here" HTSR_BIN="$here/htsr" HTSR_DEVICE=cuda NO_COLOR=1
started=$SECONDS
budget=${HTSR_SECONDS:-450}
summary=$out/summary.md
failed=0

{
  echo "# htsr on a GPU"
  echo
  echo "commit $(tr '\n' ' ' < "$here/COMMIT")"
  echo "date $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  echo
  echo "| step | result | seconds | output |"
  echo "|:--|:--|--:|:--|"
} > "$summary"

# step NAME SECONDS COMMAND...: runs a step, keeps what it prints, notes how it ended.
step() {
  local name=$1 limit=$2 begun=$SECONDS left=$((budget - SECONDS + started)) code result
  shift 2
  case " $steps " in *" ${name%%-*} "*) ;; *) return 0 ;; esac
  if [ "$left" -lt 10 ]; then
    echo "| $name | skipped: no time left | | |" >> "$summary"
    failed=1
    return 1
  fi
  [ "$left" -ge "$limit" ] || limit=$left
  echo "== $name" >&2
  timeout -k 5 "$limit" "$@" > "$out/$name.out" 2> "$out/$name.err"
  code=$?
  case $code in
    0) result=ok ;;
    124 | 137) result="stopped after $limit s" ;;
    *) result="FAILED ($code)" ;;
  esac
  [ $code = 0 ] || { failed=1; tail -n 15 "$out/$name.err" >&2; }
  echo "| $name | $result | $((SECONDS - begun)) | $name.out |" >> "$summary"
  return $code
}

# skip NAME WHY: reports that a step cannot run here.
skip() {
  case " $steps " in *" $1 "*) echo "| $1 | skipped: $2 | | |" >> "$summary" ;; esac
}

step doctor 60 "$here/htsr" doctor --device cuda
step doctor-json 60 "$here/htsr" doctor --format json
step parity 150 env HTSR_REQUIRE_GPU=1 "$here/htsr-tests" gpu::scores:: --test-threads 8
step demo 60 "$here/htsr" demo --format json

# A few layers first, so that there is a number whatever happens later. Then the whole model, while nvidia-smi samples the GPU's
# memory.
step model-some 100 "$here/htsr" bench --model "$model" --layers "${HTSR_BENCH_LAYERS:-4}" --format json
if [ -z "${HTSR_BENCH_LAYERS:-}" ]; then
  watcher=
  if command -v nvidia-smi > /dev/null; then
    nvidia-smi --query-gpu=timestamp,memory.used,utilization.gpu --format=csv -lms 250 > "$out/model.memory.csv" 2> /dev/null &
    watcher=$!
  fi
  step model 240 "$here/htsr" bench --model "$model" --format json
  [ -z "$watcher" ] || kill "$watcher" 2> /dev/null
  step model-median 120 "$here/htsr" bench --model "$model" --rule median --format json
fi

if command -v python3 > /dev/null && python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  # The shapes of the model.
  step torch-model 90 python3 "$here/torch_peer.py" "${HTSR_TORCH_SHAPES:-1024x8192,8192,28672x8192}" float32
  step torch 60 python3 "$here/torch_peer.py" "${HTSR_TORCH_SIZES:-1024,2048,4096}" float32,float64
else
  skip torch "python3 has no torch with CUDA"
fi

if command -v compute-sanitizer > /dev/null; then
  for check in memcheck:192 racecheck:64; do
    tool=${check%:*}
    # Above 64, several blocks work on a matrix and wait for each other; racecheck is slow and checks shared memory only.
    order=${check#*:}
    for solver in two-stage batched; do
      step "sanitizer-$tool-$solver" 40 compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$here/htsr" demo --layers 1 --hidden "$order" --solver "$solver" --threads 1 -q
    done
  done
else
  skip sanitizer "compute-sanitizer is not on the PATH"
fi

# Each step writes a file of its own, and a failure does not stop the others.
solvers="two-stage sytrd syevd"
"$here/htsr" doctor --format json 2> /dev/null | grep -q '"syevd-two-stage"' && solvers="$solvers syevd-two-stage"
for solver in $solvers; do
  for precision in f32 f64; do
    step "bench-$solver-$precision" 60 "$here/htsr" bench --sizes "$sizes" --solvers "$solver" --precisions "$precision" \
      --rule median --check-up-to 1024 --count "${HTSR_BENCH_COUNT:-4}" --format json
  done
done
step bench-batched 60 "$here/htsr" bench --sizes "${HTSR_BATCHED_SIZES:-256,512,768,1024,1536,2048}" --solvers batched,two-stage \
  --precisions f32,f64 --rule median --check-up-to 1024 --count "${HTSR_BATCHED_COUNT:-64}" --runs 1 --format json
step bench-auto 60 "$here/htsr" bench --sizes "$sizes" --lanes 1,2,4 --check-up-to 1024 --count 8 --runs 1 --format json

{
  echo
  echo "$((SECONDS - started)) s in total"
} >> "$summary"
cat "$summary"
exit $failed
