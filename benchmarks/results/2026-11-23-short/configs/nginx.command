/usr/sbin/nginx -p DIR -c DIR/nginx.cfg
