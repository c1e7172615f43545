"""What the declared limits are good for: many live tunnels, with traffic through all of them."""
