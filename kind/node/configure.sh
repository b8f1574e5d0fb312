# shellcheck shell=bash
# Runs in the build container. /build/files holds kind's files, /build/bin the binaries. What is
# done to systemd and to containerd's base specification is what kind's own base image does.
set -euo pipefail

# The module cache has lost the executable bits: programs are 0755, all else is 0644.
find /build/files -type d -exec chmod 755 {} +
find /build/files -type f -exec chmod 644 {} +
chmod 755 /build/files/usr/local/bin/* /build/files/kind/bin/*
cp -a /build/files/. /

# Units that are of no use in a container, or that would touch the machine's devices and mounts.
find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
    /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
    /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
echo ReadKMsg=no >>/etc/systemd/journald.conf
ln -sf /usr/lib/systemd/systemd /sbin/init
systemctl enable --quiet kubelet.service containerd.service undo-mount-hacks.service
# It registers formats for the whole machine.
systemctl mask --quiet systemd-binfmt.service
# A node must not share its identity with others; kind's entrypoint makes one.
rm -f /etc/machine-id /var/lib/dbus/machine-id

cd /build/bin
install -m 755 kubelet kubeadm kubectl /usr/bin/
install -m 755 containerd containerd-shim-runc-v2 ctr /usr/local/bin/
ln -sf /usr/sbin/runc /usr/local/sbin/runc
mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests /kind/manifests
mv /usr/lib/cni/* /opt/cni/bin/

# Every container's /sys shows the machine's product id unless this hook hides it; the limits would
# be the build container's.
ctr oci spec |
    jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
        >/etc/containerd/cri-base.json
printf '%s' "$KUBERNETES" >/kind/version
cp /build/storage.yaml /kind/manifests/default-storage.yaml
