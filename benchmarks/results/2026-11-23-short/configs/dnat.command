/usr/sbin/nft -f dnat.nft
