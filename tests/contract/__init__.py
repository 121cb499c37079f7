"""What our side relies on of Twenty, asked of the stand-in and, by address, of a real server with the same words."""
