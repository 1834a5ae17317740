"""What worker processes do: look at data, choose what is tuned, carry out bundles.

This folder is the only part of the engine that executes torch. Whoever schedules work names its functions
("module:name", bench.engine.local) and imports nothing of it.
"""
