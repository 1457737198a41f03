bin/longsplice run -c DIR/longsplice.toml
