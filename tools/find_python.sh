#!/bin/sh
# Print a Python from 3.10 to 3.14 that can make virtual environments: find_python.sh [CANDIDATE]
set -eu
fits='import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'
for candidate in ${1:-python3 python3.12 python3.11 python3.13 python3.14 python3.10}; do
    if "$candidate" -c "$fits" >/dev/null 2>&1; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
echo "no Python from 3.10 to 3.14 with venv among: ${1:-python3 python3.12 python3.11 python3.13 python3.14 python3.10}" >&2
echo "install one:  sudo apt-get install python3 python3-dev python3-venv   (or name one: make PYTHON=/path/to/python3.12)" >&2
exit 1
