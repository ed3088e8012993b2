"""Synthetic retail products with exact ground truth: seeded, deterministic, usable alone. Off the device.

    edge-render catalogue|shelf|cart|clip --skus N --seed S --out DIR

For tests and benchmarks:

    from calibration.render.identity import catalogue, hidden_siblings, strangers
        catalogue(seed, count)          -> tuple[Sku, ...], prefix-stable
        hidden_siblings(seed, count)    -> tuple[Sku, ...], never enrolled, of the same families
        strangers(seed, count)          -> tuple[Sku, ...], of brands that are in no catalogue of the seed
    from calibration.render.views import view
        view(sku, seed=..., severity="studio" | "easy" | "camera" | "hard", size_px=224)
                                        -> uint8 BGR (H, W, 3), long edge `size_px`
    from calibration.render.strays import stray_view
        stray_view(seed, number)        -> the same of no product at all: hands, fruit, empty baskets, textures
    from calibration.render.clip import ClipOrder, cart_clip, clip_events
        cart_clip(ClipOrder(seed=...))  -> Iterator[(uint8 BGR (480, 640, 3), FrameTruth)], constant memory
        clip_events(ClipOrder(seed=...))-> tuple[ClipEvent, ...]
    from calibration.render.shelf import ShelfOrder, shelf_picture
        shelf_picture(ShelfOrder(seed=...), number) -> (uint8 BGR (720, 1280, 3), ShelfTruth)
    from calibration.render.cart import CartOrder, cart_picture
        cart_picture(CartOrder(seed=...), number)   -> (uint8 BGR (480, 640, 3), tuple[SceneObject, ...])

Equal arguments give equal bytes with equal versions of NumPy, OpenCV, Pillow and the font packages; other versions may
round a pixel differently. `claim.VERSION` is raised whenever the pictures change on purpose. Drawing modules need the
extra `render`; `identity` needs NumPy alone. What is drawn is plausible, not real: figures measured on it compare
methods, they do not promise anything about a shop.

From names to pixels: words -> looks -> identity -> (assets, patterns, typeset, layouts, panels) -> label -> forms ->
solids -> (severity, grain, backgrounds, hands, camera) -> views -> folder; casting -> basket -> cart, clip, shelf ->
recording.
"""
