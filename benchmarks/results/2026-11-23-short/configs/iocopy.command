bin/longsplice-bench iocopy --listen 127.0.0.1:8080 --to 127.0.0.2:9000 --to 127.0.0.3:9000
