/usr/sbin/haproxy -db -f DIR/haproxy.cfg
