"""Tests: behaviour that a user or an operator would notice, over moto, with a clock in hand."""
