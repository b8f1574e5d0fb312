#!/usr/bin/env bash
# The Debian image that the others are built on, where `debian:SUITE-slim` cannot be pulled:
# debootstrap's smallest variant. Needs root and debootstrap. It is called with the variables that
# common.sh names, and does without that file, so that a change there does not make a new base.
set -euo pipefail

step() { printf '==> %s\n' "$*"; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

step "debootstrap: Debian $SUITE"
# In a mount namespace of its own: debootstrap mounts /proc and /sys below the directory, and when it
# is killed, they go away with the namespace instead of staying in the way of removing it.
unshare --mount debootstrap --variant=minbase --force-check-gpg --keyring="$keyring" \
    "$SUITE" "$WORK/root" ${MIRROR:+"$MIRROR"} >"$WORK/debootstrap.log" 2>&1 || {
    tail -n 20 "$WORK/debootstrap.log" >&2
    if [ -e "$WORK/root/debootstrap/debootstrap.log" ]; then
        tail -n 20 "$WORK/root/debootstrap/debootstrap.log" >&2
    fi
    exit 1
}
rm -rf "$WORK"/root/var/cache/apt/archives/*.deb "$WORK"/root/var/lib/apt/lists/* \
    "$WORK"/root/usr/share/doc/* "$WORK"/root/usr/share/man/* "$WORK"/root/usr/share/locale/*

step "importing it into Docker"
tar --create --directory "$WORK/root" --numeric-owner --exclude './dev/*' . |
    docker import --change 'CMD ["bash"]' --change "LABEL dev.claimcheck.inputs=$KEY" - "$TAG" \
        >/dev/null
