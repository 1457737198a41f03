#!/bin/sh
# Installs what the benchmarks measure longsplice beside, from the distribution (Debian, Ubuntu): HAProxy, nginx with its
# stream module, nft and ip for the kernel's own forwarding. They are only installed: policy-rc.d keeps the packages from
# starting their services, and the new units are disabled. Elsewhere install these programs by hand: longsplice-bench list
# says what it misses.
set -eu
command -v apt-get >/dev/null || {
	echo "install-peers: no apt-get here; install haproxy, nginx with its stream module, nftables and iproute2 by hand" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || {
	echo "install-peers: needs root: sudo make bench-peers" >&2
	exit 1
}
policy=/usr/sbin/policy-rc.d
made=no
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	made=yes
fi
clean() { [ "$made" = no ] || rm -f "$policy"; }
trap clean EXIT

# A service that was here before is somebody's: it is left as it is.
fresh=
for name in haproxy nginx; do
	command -v "$name" >/dev/null || [ -x "/usr/sbin/$name" ] || fresh="$fresh $name"
done
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends haproxy nginx-light libnginx-mod-stream nftables iproute2 >/dev/null
if [ -n "$fresh" ] && [ -d /run/systemd/system ]; then
	# shellcheck disable=SC2086 # words are meant
	systemctl disable --now $fresh >/dev/null 2>&1 || true
fi
PATH=$PATH:/usr/sbin:/sbin
haproxy -v | head -n 1
nginx -v
nft --version
