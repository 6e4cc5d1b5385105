"""Who is measured. Each module has `steps()`: the billed invocations of one notification, by its number, in order."""
