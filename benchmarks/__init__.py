"""Measurements that are no part of the product; what they found stands in README.md."""
