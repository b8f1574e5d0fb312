#!/bin/sh
# A Docker for tests: see `Fake` in containers.rs. A filter is `label=KEY=VALUE`; a container's file
# holds KEY=VALUE, and that of a network, named by its id, its name, a tab and the testbed's label.
set -eu
here=$(dirname "$0")
echo "$*" >> "$here/calls"

# What is in the file `refuse` is said line by line, each once, instead of a removal.
refuse() {
    if test -s "$here/refuse"; then
        echo "Error response from daemon: $(head -n 1 "$here/refuse")" >&2
        sed -i 1d "$here/refuse"
        exit 1
    fi
}

case "$1 ${2-}" in
"ps --all")
    for file in "$here/containers"/*; do
        if test -e "$file" && test "label=$(cat "$file")" = "$4"; then basename "$file"; fi
    done
    ;;
"network ls")
    for file in "$here/networks"/*; do
        if test -e "$file"; then printf '%s\t%s\n' "$(basename "$file")" "$(cat "$file")"; fi
    done
    ;;
"network rm")
    refuse
    rm "$here/networks/$3"
    ;;
"network create")
    while ! test -e "$here/go"; do sleep 0.02; done
    # All at once, as Docker makes one.
    printf '%s\t' "$3" > "$here/made"
    mv "$here/made" "$here/networks/made"
    ;;
"rm --force")
    shift 3
    for name in "$@"; do rm "$here/containers/$name"; done
    ;;
"inspect --format") cat "$here/mounts" ;;
"exec node") ;;
"hang ") exec sleep 600 ;;
*) echo "unknown call: $*" >&2; exit 1 ;;
esac
