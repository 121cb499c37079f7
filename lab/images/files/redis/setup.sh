groupadd --system --gid 999 redis
useradd --system --uid 999 --gid redis --home-dir /data --no-create-home --shell /usr/sbin/nologin redis
apt-get update -qq
apt-get install -y -qq --no-install-recommends redis-server redis-tools
rm -rf /etc/redis /var/lib/redis /etc/init.d/redis-server /etc/logrotate.d/redis-server
install -d -o redis -g redis /data
redis-server --version
redis-cli --version
