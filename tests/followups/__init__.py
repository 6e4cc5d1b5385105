"""Tests of the operators' command line and page."""
