"""A bundle changed without fitting it again: a product enrolled, retired, reinstated or removed, in seconds.

The engine, the head inside it, the confidence, the unknown threshold and the certified cut points stay as calibration
left them; only products come and go.
"""
