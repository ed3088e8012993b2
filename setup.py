"""Install shelfedge. All metadata stands in pyproject.toml; this file exists for tools that ask for it."""

from setuptools import setup

setup()
