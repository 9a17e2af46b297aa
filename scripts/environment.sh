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
    echo "Installing wdjax[$extras] and what it needs into .venv (about a minute) …"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --editable ".[$extras]"
    echo "$wanted" >"$stamp"
  fi
}
