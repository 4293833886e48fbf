"""The host's side of a board on a serial line; docs/boards/uart.md has the protocol."""
