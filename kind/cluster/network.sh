#!/bin/sh
# The pods' network on this node: ways to the pods of the other nodes, and the node's address for what
# pods send out of the cluster. Run before every start of the kubelet, since a restart of the node's
# container takes both away.
set -eu
${routes}
nft -f - <<'RULES'
table ip claimcheck
delete table ip claimcheck
table ip claimcheck {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr ${pods} ip daddr != ${cluster} masquerade
    }
}
RULES
