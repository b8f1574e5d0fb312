#!/usr/bin/env bash
# A stand-in for docker.io/library/busybox, of Debian's static busybox: every applet as a hard link
# in /bin, the users and directories that scripts expect, a shell as its command.
#
# It is the busybox of Debian 13 whatever $SUITE is: that of Debian 12 dies of a segmentation fault in
# `wget -T`. The applets that Debian leaves out and test scripts use come from util-linux.
set -euo pipefail
. "$WORK/common.sh"

start_container
step "fetching busybox"
set_sources trixie
inside bash -s <<'INSIDE'
set -euo pipefail
apt-get update -qq
mkdir /tmp/package
cd /tmp/package
apt-get download -qq busybox-static >/tmp/package/log 2>&1 || {
    cat /tmp/package/log >&2
    exit 1
}
dpkg --extract busybox-static_*.deb .
INSIDE

step "putting it into an image of its own"
inside bash -s <<'INSIDE'
set -euo pipefail
root=/tmp/root
mkdir -p "$root"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/sbin,var/spool/mail,var/www}
chmod 1777 "$root/tmp"
chmod 700 "$root/root"
cp /tmp/package/usr/bin/busybox "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln "$root/bin/busybox" "$root/bin/$applet"
done
for program in flock mountpoint; do
    [ -e "$root/bin/$program" ] && continue
    cp "/usr/bin/$program" "$root/bin/"
    ldd "/usr/bin/$program" | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$root$library" ] || install -D -m 755 "$(realpath "$library")" "$root$library"
    done
done
# Commands that are called by these paths.
for applet in env awk; do
    ln -s "../../bin/$applet" "$root/usr/bin/$applet"
done
cat >"$root/etc/passwd" <<'FILE'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
FILE
cat >"$root/etc/group" <<'FILE'
root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
FILE
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
INSIDE
mkdir "$WORK/root"
inside tar --create --directory /tmp/root . | tar --extract --directory "$WORK/root"
import "$WORK/root" 'CMD ["sh"]' 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
