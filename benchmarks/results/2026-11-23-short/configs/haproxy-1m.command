/usr/sbin/haproxy -db -f DIR/haproxy-1m.cfg
