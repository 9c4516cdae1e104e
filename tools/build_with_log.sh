#!/bin/bash
# Run a build of some minutes with its output in a file: build_with_log.sh WHAT LOG COMMAND...
# Here a line tells what is built and where to look, then one for each tenth of what CMake says is done, and all of the
# file where the build fails.
set -euo pipefail
what=$1 log=$2
shift 2
tell_each_tenth() {
    last=0
    while IFS= read -r line; do
        [[ $line =~ ^\ *\[\ *([0-9]+)%\] ]] || continue
        tenth=$((BASH_REMATCH[1] / 10))
        [ "$tenth" -ge "$last" ] || last=0 # the next of several builds
        [ "$tenth" -eq "$last" ] || echo "  $what: $((tenth * 10)) %"
        last=$tenth
    done
}
echo "building $what: some minutes; all it says is in $log"
"$@" 2>&1 | tee "$log" | tell_each_tenth || { cat "$log"; exit 1; }
