"""What DelayedNotify and Recheck share: one notification, from the bank's event to its last pass."""
