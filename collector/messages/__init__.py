"""What devices send: one module a kind of message, with its Struct and its limits. Pure: no I/O."""
