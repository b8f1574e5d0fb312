#!/usr/bin/env bash
# The NFS server: nfs-ganesha with rpcbind, which NFSv3 needs. The base lacks /etc/services and
# /etc/protocols: netbase has them.
set -euo pipefail
. "$WORK/common.sh"

start_container
install_packages nfs-ganesha nfs-ganesha-vfs rpcbind netbase

step "adding its entrypoint and configuration"
inside sh -c 'mkdir -p /export /squashed /etc/claimcheck && cat >/usr/local/bin/entrypoint &&
    chmod 755 /usr/local/bin/entrypoint' <"$WORK/entrypoint.sh"
inside sh -c 'cat >/etc/claimcheck/ganesha.conf' <"$WORK/ganesha.conf"
commit 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' 'EXPOSE 2049/tcp 20048/tcp 111/tcp'
