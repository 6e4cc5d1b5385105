"""Tests of what a deployment makes."""
