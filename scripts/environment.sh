# Sourced by the other scripts: a .venv in the repository, made once and reused for as
# long as pyproject.toml and Python stay the same.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c \
      'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
      >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "wdjax needs Python 3.11, 3.12 or 3.13, and found none. Install one, or name it:" \
    "PYTHON=/path/to/python3.11 $0" >&2
  return 1
}

# A sign of life, of a command that is silent.
tell_the_time() {
  local start=$SECONDS
  while sleep 10 >/dev/null 2>&1; do
    echo "  … $((SECONDS - start)) s"
  done
}

# ensure_environment EXTRAS: .venv holds wdjax, editable, with these extras.
ensure_environment() {
  local extras=$1 stamp=.venv/.installed-$1 python wanted
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version) …"
    "$python" -m venv .venv
  fi
  wanted=$(.venv/bin/python -c 'import hashlib, pathlib, sys
print(hashlib.sha256(pathlib.Path("pyproject.toml").read_bytes()).hexdigest(), sys.version)')
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    # A .venv whose making was interrupted has no pip yet.
    .venv/bin/python -m pip --version >/dev/null 2>&1 ||
      "$(find_python)" -m venv .venv
    echo "Installing wdjax[$extras] and what it needs into .venv (one to three minutes," \
      "1 GB on the disk) …"
    tell_the_time &
    trap "kill $! 2>/dev/null || true" EXIT
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --editable ".[$extras]"
    kill $!
    trap - EXIT
    echo "$wanted" >"$stamp"
  fi
}
