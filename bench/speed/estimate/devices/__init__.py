"""Devices and their rates: of data sheets, which lie in sheets/, or measured."""
