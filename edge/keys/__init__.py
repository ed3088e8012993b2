"""Who may speak with whom: CURVE keys, lists of public keys, and the sockets that hold to them.

    edge-keys ──> NAME.secret, NAME.pub          `pair`      files of one key pair
                  a folder of NAME.pub           `allowed`   who may come in, by name
    a socket that is bound to ──> `door`         answers ZAP, counts and tells who was refused
    a socket that connects    ──> `line`         knows whom it calls, dials again after a refusal

What is encrypted is decided in `edge.config` and by the options of a command; a plain socket has no door and no caller.
Specifications: ZeroMQ RFC 26 (CurveZMQ), RFC 27 (ZAP), RFC 32 (Z85), RFC 4 (ZPL).
"""
