#!/usr/bin/env bash
# An image of one program with the libraries it needs, which lie in $WORK/root already. Also called
# with ENTRYPOINT, a JSON list, and OWNER, a numeric user.
set -euo pipefail
. "$WORK/common.sh"

step "importing it into Docker"
mkdir -p "$WORK/root/tmp" "$WORK/root/etc"
chmod 1777 "$WORK/root/tmp"
cat >"$WORK/root/etc/passwd" <<FILE
root:x:0:0:root:/:/sbin/nologin
nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin
FILE
printf 'root:x:0:\nnonroot:x:65532:\n' >"$WORK/root/etc/group"
import "$WORK/root" "ENTRYPOINT $ENTRYPOINT" "USER $OWNER" 'ENV PATH=/usr/local/bin:/usr/bin:/bin'
