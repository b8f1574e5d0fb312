#!/bin/sh
# A Docker for tests: see `Fake` in containers.rs. A filter is `label=KEY=VALUE`.
set -eu
here=$(dirname "$0")
echo "$*" >> "$here/calls"

# list DIRECTORY FILTER
list() {
    for file in "$here/$1"/*; do
        if test -e "$file" && test "label=$(cat "$file")" = "$2"; then basename "$file"; fi
    done
}

case "$1 ${2-}" in
"ps --all") list containers "$4" ;;
"network ls") list networks "$4" ;;
"network rm") rm "$here/networks/$3" ;;
"rm --force")
    shift 3
    for name in "$@"; do rm "$here/containers/$name"; done
    ;;
"inspect --format") cat "$here/mounts" ;;
"exec node") ;;
"hang ") exec sleep 600 ;;
*) echo "unknown call: $*" >&2; exit 1 ;;
esac
