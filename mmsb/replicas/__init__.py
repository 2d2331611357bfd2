"""One engine in several processes, on as many GPUs and nodes as they need: actors of Ray, an extra.

    this process:  batches -> whichever replica is free -> outcomes, as they come
    a replica:     opened once (weights loaded), then batch after batch

Batches are made before they are handed out, so that which replica answers one changes nothing. A replica that dies
costs the batches it held: they go to the next one that is free, and a new replica takes its place once there is room.
"""
