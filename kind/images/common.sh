# shellcheck shell=bash
# What the recipes share; sourced by each of them.
#
# Every recipe is called with these variables:
#   WORK   a directory of its own, with the recipe's files in it
#   TAG    the name of the image that it makes
#   LABEL  KEY=VALUE, the label of every container that it starts
#   KEY    the hash of its inputs, kept as a label of the image
#   SUITE  the Debian suite
#   MIRROR the Debian mirror
#   BASE   the image to build on (empty for the base itself)
# Lines that start with `==> ` are progress.
set -euo pipefail

container=claimcheck-build-$$-$RANDOM

step() { printf '==> %s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

remove_container() { docker rm --force --volumes "$container" >/dev/null 2>&1 || true; }
trap remove_container EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start_container [OPTION...]: a container of $BASE that does nothing. The network is the host's:
# the mirror may be an address that only the host reaches.
# shellcheck disable=SC2120
start_container() {
    docker run --detach --name "$container" --label "$LABEL" --network host \
        "$@" "$BASE" sleep infinity >/dev/null
}

# inside COMMAND...: runs a command in the container, with this script's standard input. Proxies are
# passed at each call, so that none gets into the image.
inside() {
    docker exec --interactive --env http_proxy --env https_proxy --env no_proxy \
        --env DEBIAN_FRONTEND=noninteractive "$container" "$@"
}

# set_sources SUITE: the container's packages come from that suite of $MIRROR. The smallest Debian
# has no certificates, so for a mirror with TLS it gets this machine's.
set_sources() {
    inside env MIRROR="$MIRROR" SUITE="$1" bash -s <<'INSIDE'
set -euo pipefail
if [ -z "$MIRROR" ]; then
    # The base image was pulled, or made by debootstrap alone: it knows Debian's own, in either place.
    # Comments of Debian's image name another.
    MIRROR=$(grep -rhE '^(deb |URIs:)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
        grep -oE 'https?://[^ ]+/debian\>' | head -n 1) || true
    if [ -z "$MIRROR" ]; then
        echo "the base image names no Debian mirror; set CLAIMCHECK_DEBIAN_MIRROR" >&2
        exit 1
    fi
fi
rm -f /etc/apt/sources.list.d/*
echo "deb $MIRROR $SUITE main" >/etc/apt/sources.list
INSIDE
    case $MIRROR in
    https:*)
        inside sh -c 'cat >/etc/apt/mirror.crt' </etc/ssl/certs/ca-certificates.crt
        inside sh -c 'echo "Acquire::https::CAInfo \"/etc/apt/mirror.crt\";" >/etc/apt/apt.conf.d/90mirror'
        ;;
    esac
}

# install_packages PACKAGE...: installs packages, without documentation and package lists.
install_packages() {
    if [ $# -le 5 ]; then step "installing $*"; else step "installing $# Debian packages"; fi
    set_sources "$SUITE"
    inside bash -s "$@" <<'INSIDE'
set -euo pipefail
# Nothing is started by its package.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cat >/etc/dpkg/dpkg.cfg.d/claimcheck <<'CONFIGURATION'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
CONFIGURATION
apt-get update -qq
apt-get install -qq --yes --no-install-recommends "$@" >/tmp/install.log 2>&1 || {
    tail -n 20 /tmp/install.log >&2
    exit 1
}
apt-get clean
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt \
    /var/log/dpkg.log /tmp/install.log
INSIDE
}

# commit [CHANGE...]: makes the container an image. The label of the build is emptied, since an
# image's labels pass to the containers that are made of it.
commit() {
    local change changes=()
    for change; do
        changes+=(--change "$change")
    done
    docker commit --change "LABEL ${LABEL%%=*}=" --change "LABEL dev.claimcheck.inputs=$KEY" \
        --change 'CMD []' "${changes[@]}" "$container" "$TAG" >/dev/null
}

# import DIRECTORY [CHANGE...]: makes a directory an image, all of it root's.
import() {
    local change changes=() directory=$1
    shift
    for change; do
        changes+=(--change "$change")
    done
    tar --create --directory "$directory" --owner 0 --group 0 --numeric-owner . |
        docker import --change "LABEL dev.claimcheck.inputs=$KEY" "${changes[@]}" - "$TAG" >/dev/null
}
