#!/bin/sh
# Installs the peers that the benchmarks are measured beside: Debian's HAProxy and nginx with its stream module.
# They are only installed: policy-rc.d keeps the packages from starting their services, and the units are disabled.
set -eu
policy=/usr/sbin/policy-rc.d
made=no
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	made=yes
fi
clean() { [ "$made" = no ] || rm -f "$policy"; }
trap clean EXIT

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends haproxy nginx-light libnginx-mod-stream >/dev/null
if [ -d /run/systemd/system ]; then
	systemctl disable --now haproxy nginx >/dev/null 2>&1 || true
fi
haproxy -v | head -n 1
nginx -v
