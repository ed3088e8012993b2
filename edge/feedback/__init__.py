"""Truth comes back: what the cart learns later is held against what was decided, and rules say when to retrain.

    Outgoing ──put──> queue ──> Clerk <──verdict── whoever knows better (barcode, weight, cashier, reviewer)
    (frame loop,               (thread)  ──answer─> after its commit
     never waits)                │  └──> Store     decisions, verdicts and the state of the rules, in SQLite
                                 └─────> Judge ──> events ──> published by the frame loop on topic `event`

The rules (`interval`, `discovery`, `accuracy`, `accept_error`, `page_hinkley`, `new_products`, `audit`) are pure: no
clock, no I/O, no randomness. What is counted is things, by track, not looks: forty looks at one thing are one trial.
"""
