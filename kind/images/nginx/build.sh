#!/usr/bin/env bash
# A stand-in for docker.io/library/nginx, of Debian's nginx: it serves /usr/share/nginx/html on port
# 80 in the foreground, logs to its output, runs its workers as `nginx` and ends on SIGQUIT.
set -euo pipefail
. "$WORK/common.sh"

start_container --stop-signal SIGQUIT
install_packages nginx-light

step "configuring nginx"
inside bash -s <<'INSIDE'
set -euo pipefail
useradd --system --no-create-home --home-dir /nonexistent --shell /bin/false nginx
rm -rf /etc/nginx/sites-* /etc/nginx/modules-enabled
mkdir -p /etc/nginx/conf.d
cat >/etc/nginx/nginx.conf <<'FILE'
user nginx;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
FILE
cat >/etc/nginx/conf.d/default.conf <<'FILE'
server {
    # Without [::]: nginx refuses to start where the kernel has no IPv6.
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
FILE
nginx -t -q
INSIDE
commit 'CMD ["nginx", "-g", "daemon off;"]' 'EXPOSE 80/tcp'
