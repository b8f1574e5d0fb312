# shellcheck shell=bash
# Runs in the build container: makes an image of each of the control plane's binaries under the name
# that kubeadm asks for, and puts it into containerd's store, not unpacked.
set -euo pipefail

architecture=$(dpkg --print-architecture)
root=/build/root

# Copies programs with the libraries they need.
with_libraries() {
    local program library
    for program; do
        install -D -m 755 "$program" "$root$program"
        { ldd "$program" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
            [ -e "$root$library" ] || install -D -m 755 "$(realpath "$library")" "$root$library"
        done
    done
}

# store NAME ENTRYPOINT: what is in $root becomes the image NAME in containerd's store. The form is
# that of `docker save`.
store() {
    local name=$1 entrypoint=$2 layer
    rm -rf /build/image
    mkdir /build/image
    tar --create --directory "$root" --owner 0 --group 0 --file /build/image/layer.tar .
    layer=$(sha256sum /build/image/layer.tar | cut -d ' ' -f 1)
    jq -n --arg architecture "$architecture" --arg entrypoint "$entrypoint" --arg layer "sha256:$layer" '{
        architecture: $architecture, os: "linux",
        config: {
            Entrypoint: [$entrypoint],
            Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        },
        rootfs: {type: "layers", diff_ids: [$layer]}
    }' >/build/image/config.json
    jq -n --arg name "$name" \
        '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' \
        >/build/image/manifest.json
    tar --create --directory /build/image manifest.json config.json layer.tar |
        ctr --namespace k8s.io images import --all-platforms --no-unpack - >/dev/null
    rm -rf "$root" /build/image
}

# single NAME PATH PROGRAM: an image of one static program.
single() {
    install -D -m 755 "$3" "$root$2"
    store "$1" "$2"
}

containerd >/build/containerd.log 2>&1 &
containerd=$!
until ctr version >/dev/null 2>&1; do
    if ! kill -0 "$containerd" 2>/dev/null; then
        tail -n 20 /build/containerd.log >&2
        exit 1
    fi
    sleep 0.1
done

# The sandbox's image is the one that containerd is configured for, which need not be kubeadm's.
sandbox=$(sed -n 's/^ *sandbox_image *= *"\(.*\)"/\1/p' /etc/containerd/config.toml)
[ -n "$sandbox" ] || { echo "containerd's configuration names no sandbox image" >&2; exit 1; }
single "$sandbox" /pause /build/pause

kubeadm config images list --kubernetes-version "$KUBERNETES" >/build/images.txt
while read -r image; do
    repository=${image%:*}
    name=${repository##*/}
    case $name in
    pause) ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | etcd)
        single "$image" "/usr/local/bin/$name" "/build/bin/$name"
        ;;
    coredns) single "$image" /coredns /build/bin/coredns ;;
    kube-proxy)
        # It works through these programs: nft or iptables by its mode, and conntrack.
        with_libraries /usr/sbin/nft /usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi \
            /usr/sbin/conntrack /usr/bin/kmod
        mkdir -p "$root/usr/lib/$(uname -m)-linux-gnu"
        cp -a "/usr/lib/$(uname -m)-linux-gnu/xtables" "$root/usr/lib/$(uname -m)-linux-gnu/"
        for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
            ln -s xtables-nft-multi "$root/usr/sbin/$link"
        done
        ln -s ../bin/kmod "$root/usr/sbin/modprobe"
        single "$image" /usr/local/bin/kube-proxy /build/bin/kube-proxy
        ;;
    *)
        echo "kubeadm wants the image $image, which this recipe does not know" >&2
        exit 1
        ;;
    esac
done </build/images.txt
ctr --namespace k8s.io images list --quiet

kill "$containerd"
wait "$containerd" || true
rm -rf /run/containerd
