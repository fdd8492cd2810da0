"""From real weights to integers: grids, and (one file each) methods of rounding onto them."""
