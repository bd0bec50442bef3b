# Shared by the scripts beside it: run named steps, go on after a failure, say at the end which failed.
# Sourced, not run. Leaves the shell in the repository's root.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# Compiled modules are kept, whatever the environment says: without them each process of the tests
# compiles all that it imports.
unset PYTHONDONTWRITEBYTECODE

# The comment block at the top of a script is its help text.
show_help() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"
}

refuse_argument() {
  printf '%s: unknown argument %q; --help tells what there is\n' "$1" "$2" >&2
  exit 2
}

STEPS_FAILED=()

# step TITLE COMMAND…: run it, print how long it took, remember a failure.
step() {
  local title=$1 begun=$EPOCHREALTIME verdict=ok
  shift
  printf -- '-- %s\n' "$title"
  if ! "$@"; then
    verdict=FAILED
    STEPS_FAILED+=("$title")
  fi
  printf -- '-- %s: %s (%s s)\n' "$title" "$verdict" "$(seconds_since "$begun")"
}

BESIDE=()
OUTPUTS=

# beside TITLE COMMAND…: start a step; join_steps waits for it and shows what it wrote.
beside() {
  local title=$1 number=${#BESIDE[@]}
  [[ $OUTPUTS ]] || { OUTPUTS=$(mktemp -d) && trap end_beside EXIT; }
  set -m # in a process group of its own, which can be ended as a whole
  (
    STEPS_FAILED=()
    step "$@"
    steps_passed 2>/dev/null
  ) >"$OUTPUTS/$number" 2>&1 </dev/null &
  set +m
  BESIDE+=("$!:$title")
}

# Wait for all steps that were started, in the order of their start.
join_steps() {
  local number started
  for number in "${!BESIDE[@]}"; do
    started=${BESIDE[number]}
    wait "${started%%:*}" || STEPS_FAILED+=("${started#*:}")
    cat -- "$OUTPUTS/$number"
  done
  BESIDE=()
}

# When the script ends early, what it started ends too.
end_beside() {
  local started
  for started in ${BESIDE[@]+"${BESIDE[@]}"}; do
    kill -- "-${started%%:*}" 2>/dev/null || true
  done
  rm -rf -- "$OUTPUTS"
}

seconds_since() {
  local micros=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
  printf '%d.%01d' $((micros / 1000000)) $((micros / 100000 % 10))
}

# Succeed if no step has failed so far, else name those that have.
steps_passed() {
  ((${#STEPS_FAILED[@]} == 0)) && return
  printf 'failed: %s\n' "${STEPS_FAILED[@]}" >&2
  return 1
}

# -- the steps that script/check and script/test share --------------------------------------------

# The Go that script/bootstrap built the simulator with, and as there: what it compiled is used again.
go_tool() {
  local verb=$1
  shift
  GOTOOLCHAIN=local CGO_ENABLED=0 "$(<.build/stamps/go)" "$verb" -C tests/vcsim -trimpath "$@"
}

check_gofmt() {
  local unformatted
  unformatted=$("$(dirname -- "$(<.build/stamps/go)")/gofmt" -l tests/vcsim)
  [[ -z $unformatted ]] || { printf 'not formatted: %s\n' "$unformatted" && return 1; }
}

start_static_steps() {
  beside "types (mypy)" .venv/bin/mypy --no-error-summary src tests bench
  beside "format (ruff)" .venv/bin/ruff format --check .
  beside "lint (ruff)" .venv/bin/ruff check --quiet .
  beside "layers (import-linter)" .venv/bin/lint-imports --no-logo
  beside "lock fits pyproject.toml" script/lock --check
}
