#!/bin/sh
# Process 1 of the NFS server's container.
set -eu

# Left by a server that was killed, in a file system that outlives it.
rm -rf /run/rpcbind /run/rpcbind.lock /run/rpcbind.sock /run/ganesha.pid
mkdir -p /run/rpcbind /var/lib/nfs/ganesha

# NFSv3 is refused to start where it cannot register. rpcbind answers before it leaves this script.
rpcbind

# It takes the place of this script, so that signals reach it, and its end is the container's.
exec ganesha.nfsd -F -L STDOUT -f /etc/claimcheck/ganesha.conf -p /run/ganesha.pid
