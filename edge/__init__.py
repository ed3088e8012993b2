"""The on-device runtime: capture, locate, embed, look up, judge, route, publish.

Nothing in this package imports torch, onnx, scipy, pandas or scikit-learn: a cart carries what it runs.
"""
