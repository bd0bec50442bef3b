# Shared by the scripts beside it: run named steps, go on after a failure, say at the end which failed.
# Sourced, not run. Leaves the shell in the repository's root.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

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

# The Go that script/bootstrap built the simulator with.
go_tool() { GOTOOLCHAIN=local "$(<.build/stamps/go)" "$@"; }

check_gofmt() {
  local unformatted
  unformatted=$("$(dirname -- "$(<.build/stamps/go)")/gofmt" -l tests/vcsim)
  [[ -z $unformatted ]] || { printf 'not formatted: %s\n' "$unformatted" && return 1; }
}

static_steps() {
  step "format (ruff)" .venv/bin/ruff format --check .
  step "lint (ruff)" .venv/bin/ruff check --quiet .
  step "types (mypy)" .venv/bin/mypy --no-error-summary src tests bench
  step "layers (import-linter)" .venv/bin/lint-imports --no-logo
  step "lock fits pyproject.toml" script/lock --check
}
