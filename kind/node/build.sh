#!/usr/bin/env bash
# A node image for kind: Debian with systemd, the files of kind's own base image (from its Go
# module), the Kubernetes binaries, containerd, and the control plane's images in containerd's store.
#
# Beside what common.sh names it is called with
#   KIND_FILES  the directory images/base/files of the kind module
#   BINARIES    a directory with kubelet, kubeadm, kubectl, kube-proxy, kube-apiserver,
#               kube-controller-manager, kube-scheduler, etcd, coredns, containerd,
#               containerd-shim-runc-v2, ctr
#   GO          the Go command
#   KUBERNETES  the version of Kubernetes, with a leading v
set -euo pipefail
. "$WORK/common.sh"

step "building pause"
(cd "$WORK" && GOWORK=off GOFLAGS='' CGO_ENABLED=0 "$GO" build -trimpath -ldflags '-s -w' -o pause pause.go)

# /build is a volume: what lies there does not get into the image. The stop signal does: systemd ends
# on this one, and `docker commit` cannot set it.
start_container --volume /build --stop-signal SIGRTMIN+3 --security-opt seccomp=unconfined \
    --security-opt apparmor=unconfined
mapfile -t packages <"$WORK/packages.txt"
install_packages "${packages[@]}"

step "copying kind's files and the binaries"
inside mkdir /build/files /build/bin
tar --create --directory "$KIND_FILES" --owner 0 --group 0 --mode u+w . |
    inside tar --extract --directory /build/files
tar --create --dereference --directory "$BINARIES" --owner 0 --group 0 . |
    inside tar --extract --directory /build/bin
tar --create --directory "$WORK" --owner 0 --group 0 pause storage.yaml |
    inside tar --extract --directory /build

step "configuring the node"
inside env KUBERNETES="$KUBERNETES" bash -s <"$WORK/configure.sh"

step "putting the control plane's images into containerd"
inside env KUBERNETES="$KUBERNETES" bash -s <"$WORK/preload.sh"

step "committing the image"
commit 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' 'ENV container=docker'
