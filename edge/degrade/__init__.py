"""What the device does when it gets hot, full or short of memory: less, and stricter. `ladder` is the rule, pure."""
